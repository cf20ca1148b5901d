// Called by .ci/browser walk: CHROMIUM ADDRESS TOKEN PID, the process of make lab. Does in JupyterLab what an analyst does on a first day,
// keeps a picture of each step in out/browser, and fails at the first thing that is not there.
const { chromium } = require(require('path').resolve('out/browser/node_modules/playwright-core'));
const { execSync } = require('child_process');
const fs = require('fs');
const [executablePath, address, token, server] = process.argv.slice(2);
const minutes = 60 * 1000;

let step = 0;
const done = [];
const picture = (page, name) => page.screenshot({ path: `out/browser/walk-${++step}-${name}.png`, animations: 'disabled' });
function say(text) { done.push(text); console.log('walk:', text); }
function check(good, text) { if (!good) throw new Error(text); say(text); }

async function until(page, seconds, ready, otherwise) {
  for (const end = Date.now() + 1000 * seconds; ;) {
    const got = await ready();
    if (got) return got;
    if (Date.now() > end) throw new Error(otherwise);
    await page.waitForTimeout(500);
  }
}

// The server's processes, itself included, and their memory in MiB.
function processes() {
  const rows = execSync('ps -eo pid=,ppid=,rss=,comm=').toString().trim().split('\n').map(l => l.trim().split(/\s+/));
  const kin = new Set([server]);
  for (let grown = true; grown;) {
    grown = false;
    for (const [pid, parent] of rows) if (kin.has(parent) && !kin.has(pid)) { kin.add(pid); grown = true; }
  }
  const own = rows.filter(([pid]) => kin.has(pid));
  return { pids: own.map(r => r[0]), names: own.map(r => r[3]), mib: Math.round(own.reduce((s, r) => s + Number(r[2]), 0) / 1024) };
}

const OPEN = `import (
	"context"
	"fmt"

	"stuffed/datasets/prompt"
	"stuffed/pkg/intervene"
	"stuffed/pkg/models"
	"stuffed/pkg/notebook"
	"stuffed/pkg/view"
)

var (
	ctx  = context.Background()
	text = prompt.Texts{Kind: "documents", Corpus: "out/browser/mine/text.txt",
		Split: "all", Length: 256, Count: 1}
)

func mine() (*models.Opened, error) {
	return models.Open("out/browser/mine/model", "auto", "bytes")
}

%%
notebook.Main(func() error {
	m, err := mine()
	if err != nil {
		return err
	}
	fmt.Println(m.Weights.Model.Layers(), "layers,", m.Weights.Count(), "parameters")
	return nil
})`;

const ABLATE = `%%
notebook.Main(func() error {
	m, err := mine()
	if err != nil {
		return err
	}
	head := intervene.Ablate(intervene.Head{Layer: 0, Head: 1})
	t, err := intervene.OnText(ctx, m, text, head, 1)
	if err != nil {
		return err
	}
	v, err := view.Tokens(t, "change", "Change of loss (nat)")
	if err != nil {
		return err
	}
	return v.Show()
})`;

const MAP = `import (
	"stuffed/pkg/eval"
	"stuffed/pkg/trace"
)

%%
notebook.Main(func() error {
	m, err := mine()
	if err != nil {
		return err
	}
	probes, err := eval.Probes(m, text)
	if err != nil {
		return err
	}
	c := trace.Config{Bucket: 16, Columns: []string{"norm"}}
	all, err := trace.Collect(ctx, m.Runner, probes, c)
	if err != nil {
		return err
	}
	v, err := view.HeadMap(all[trace.States], "norm", "Norm")
	if err != nil {
		return err
	}
	return v.Show()
})`;

const PAPER = `import "stuffed/pkg/figure"

%%
notebook.Main(func() error {
	f, about, err := figure.Load("figures", "09_training_length")
	if err != nil {
		return err
	}
	style := figure.Style{Font: "Liberation Serif"}
	f, err = f.With(figure.Changes{Width: "88mm", Style: style})
	if err != nil {
		return err
	}
	if err := notebook.Show(f); err != nil {
		return err
	}
	return figure.Save("out/browser/paper", "loss", f, about)
})`;

async function walk(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(5 * minutes); // others may use the machine
  const trouble = [];
  page.on('pageerror', e => trouble.push(e.message));
  const bare = processes().pids.length;
  await page.goto(`${address}/lab/tree/lab/index.ipynb?token=${token}&reset`);
  await page.waitForSelector('.jp-NotebookPanel');
  // An item of a menu, by the beginning of its words; a dialog that it opens is accepted, its field filled in first where there is one.
  const choose = async (menu, item, dialog, text) => {
    await page.click(`.lm-MenuBar-itemLabel:text-is("${menu}")`);
    await page.click(`.lm-Menu-itemLabel:text-matches("^${item}…?$")`);
    if (!dialog) return;
    const box = page.locator('.jp-Dialog', { hasText: dialog });
    const asking = await box.elementHandle();
    if (text) await box.locator('input').fill(text);
    await box.locator('.jp-mod-accept').click();
    await asking.waitForElementState('hidden'); // this one: the next may have the same words, as "Server stopped" has those of the shutdown
  };
  await choose('File', 'New Launcher');
  const card = '.jp-LauncherCard[data-category="Notebook"]:has-text("Go (gonb)")';
  await page.waitForSelector(card);
  await page.waitForFunction(() => [...document.images].every(i => i.complete));
  await picture(page, 'launcher');
  await page.locator(card).first().click();
  const clean = () => page.locator('#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current:not(.jp-mod-dirty)').first().waitFor();
  const idle = () => page.evaluate(() => /\| Idle/.test((document.querySelector('#jp-bottom-panel') || document.body).textContent));
  await page.waitForSelector('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell .cm-content');
  await until(page, 300, idle, 'the kernel of a new notebook is not ready');
  say('a new notebook from the launcher');

  const cells = () => page.locator('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell');
  const last = () => cells().last();
  const put = async code => {
    await last().locator('.cm-content').click();
    await page.keyboard.press('Control+a');
    await page.keyboard.insertText(code);
  };
  // The cell that has the cursor.
  const go = async (cell, name) => {
    const began = Date.now();
    await page.keyboard.press('Shift+Enter');
    await until(page, 600, async () => /\[\d+\]/.test(await cell.locator('.jp-InputArea-prompt').textContent()), `cell ${name} still runs`);
    await until(page, 300, idle, `cell ${name}: the kernel does not come to rest`); // all of its output has arrived
    const waited = (Date.now() - began) / 1000;
    const errors = await cell.locator('[data-mime-type="application/vnd.jupyter.error"], [data-mime-type="application/vnd.jupyter.stderr"]').allTextContents();
    if (errors.length) throw new Error(`cell ${name}: ${errors.join('\n').slice(0, 1500)}`);
    say(`${name}: ${waited.toFixed(1)} s`);
    return cell;
  };
  const run = async (code, name) => {
    await put(code);
    const n = await cells().count();
    const cell = await go(cells().nth(n - 1), name);
    await until(page, 60, async () => await cells().count() > n, `no cell after ${name}`);
    return cell;
  };

  let cell = await run(OPEN, 'own model opened, project imported without a word of set-up');
  check(/2 layers, \d+ parameters/.test(await cell.textContent()), 'its layers and parameters shown');

  const asked = Date.now(); // gopls reads the module at its first question, which it may answer with nothing, or later than the kernel waits
  for (let i = 0, shown = false; !shown; i++) {
    if (i === 25) throw new Error('no completion after five minutes');
    await put(`%%\nm${i}, _ := mine()\nm${i}.Weights`); // the same text is not asked for again, nor a cell that has lost the cursor
    await page.keyboard.type(i % 2 ? '.C' : '.'); // after answers that came too late, the kernel completes nothing until a cell parses
    await page.keyboard.press('Tab');
    shown = await page.waitForSelector('.jp-Completer:visible', { timeout: 12000 }).then(() => true, async () => (await last().locator('.cm-content').textContent()).includes('.Weights.Count'));
  }
  say(`first completion after ${((Date.now() - asked) / 1000).toFixed(1)} s`);
  await picture(page, 'completion');
  const offered = await page.locator('.jp-Completer:visible .jp-Completer-item').allTextContents();
  const written = await last().locator('.cm-content').textContent();
  check(offered.some(t => t.includes('Count')) || written.includes('.Weights.Count'), `completion: ${offered.slice(0, 4).join(', ') || 'the only one was taken'}`);
  await page.keyboard.press('Escape');
  const tooltip = page.locator('.jp-Tooltip');
  await until(page, 300, async () => { // gopls may need longer than the kernel waits for it; then there is no tooltip, or one with an error
    await put('%%\nm, _ := mine()\nfmt.Println(m.Weights.Count())');
    for (let i = 0; i < 6; i++) await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Shift+Tab');
    if (await tooltip.waitFor({ timeout: 15000 }).then(() => true, () => false) && /Count/.test(await tooltip.textContent())) return true;
    await page.keyboard.press('Escape');
    return false;
  }, 'no explanation of a function');
  await picture(page, 'hover');
  say('explanation of a function shown');
  await page.keyboard.press('Escape');

  cell = await run(ABLATE, 'a head ablated on own text');
  const tokens = await cell.locator('span[title^="token"]').count();
  check(tokens > 100, `${tokens} tokens coloured by the change of their loss`);
  await cell.scrollIntoViewIfNeeded();
  await picture(page, 'ablated');

  cell = await run(MAP, 'map of layers and heads');
  await cell.scrollIntoViewIfNeeded();
  await cell.locator('.vega-embed svg.marks').first().waitFor();
  // The chart is drawn anew while it settles and after every click: its marks are looked up again each time.
  const marks = () => cell.locator('.vega-embed').evaluate(chart => [...chart.querySelectorAll('.mark-rect.role-mark path')].map(p => {
    const b = p.getBoundingClientRect();
    return { x: b.x + b.width / 2, y: b.y + b.height / 2, inside: b.y > 60 && b.bottom < innerHeight - 60 };
  }));
  const curve = () => cell.locator('.vega-embed').evaluate(chart => [...chart.querySelectorAll('.mark-line.role-mark path')].map(p => p.getAttribute('d')).join());
  const tip = page.locator('#vg-tooltip-element.visible');
  const hovered = async number => {
    let at;
    await until(page, 60, async () => {
      at = (await marks())[number];
      if (!at) return false;
      if (!at.inside) { await cell.locator('.vega-embed').evaluate(chart => chart.scrollIntoView({ block: 'center' })); return false; }
      await page.mouse.move(at.x - 3, at.y);
      await page.mouse.move(at.x, at.y);
      return await tip.count() > 0;
    }, 'hovering over the map shows no value');
    return at;
  };
  await until(page, 60, async () => (await marks()).length > 1, 'the map has no cells');
  await hovered(1);
  const value = (await tip.textContent()).replace(/\s+/g, ' ');
  await picture(page, 'map-hover');
  check(/layer/.test(value) && /\d/.test(value), `hover: ${value}`);
  const before = await curve();
  const at = await hovered((await marks()).length - 1);
  await page.mouse.click(at.x, at.y);
  await until(page, 60, async () => { const now = await curve(); return now !== '' && now !== before; }, 'a click on the map draws no other curve');
  await picture(page, 'map-click');
  say('a click draws the curve of that head');

  cell = await run(PAPER, 'figure for a paper');
  await cell.scrollIntoViewIfNeeded();
  await picture(page, 'paper');
  const pdf = fs.readFileSync('out/browser/paper/loss/loss.pdf').toString('latin1');
  const width = Number(/\/MediaBox \[0 0 ([\d.]+) /.exec(pdf)[1]) / 72 * 25.4;
  check(Math.abs(width - 88) < 0.01 && pdf.includes('liberationserif'), `PDF ${width.toFixed(2)} mm wide in Liberation Serif`);

  await choose('File', 'Save Notebook', 'Rename file'); // what is not saved yet is asked about when another name is given
  await clean();
  await choose('File', 'Save Notebook As', 'Save File As', 'lab/walk.ipynb');
  await until(page, 60, () => fs.existsSync('lab/walk.ipynb'), 'Save As writes no lab/walk.ipynb');
  const saved = JSON.parse(fs.readFileSync('lab/walk.ipynb', 'utf8')).cells.flatMap(c => c.outputs || []);
  check(saved.length >= 4 && !saved.some(o => o.output_type === 'error'), `saved as lab/walk.ipynb with ${saved.length} outputs`);
  await page.waitForSelector('.lm-TabBar-tabLabel:text-is("walk.ipynb")');
  await clean();
  await picture(page, 'saved');
  await until(page, 300, idle, 'the kernel is not ready under another name'); // a server that still connects to it answers a restart with 500
  await choose('Kernel', 'Restart Kernel and Clear Outputs of All Cells', 'Restart');
  await until(page, 60, async () => !/\[\d+\]/.test(await cells().first().locator('.jp-InputArea-prompt').textContent()), 'a restart clears no outputs');
  await until(page, 300, idle, 'the kernel is not ready after a restart');
  await cells().first().locator('.cm-content').click();
  cell = await go(cells().first(), 'own model opened after a restart');
  check(/2 layers, \d+ parameters/.test(await cell.textContent()), 'the same model');
  await choose('File', 'Save Notebook');
  await clean();
  await picture(page, 'restarted');

  const running = processes();
  say(`${running.pids.length} processes, ${running.mib} MiB: ${[...new Set(running.names)].join(', ')}`);
  await choose('Kernel', 'Shut Down All Kernels', 'Shut Down All');
  await until(page, 60, () => processes().pids.length <= bare, 'processes are left after the kernels were shut down');
  const rest = processes();
  say(`kernels shut down: ${rest.pids.length} processes, ${rest.mib} MiB`);
  await choose('File', 'Shut Down', 'Shut Down');
  const gone = pid => !fs.existsSync(`/proc/${pid}`) || /\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
  await until(page, 60, () => running.pids.every(gone), 'the server still runs');
  say('server shut down, none of its processes is left');
  const asking = fs.readFileSync('out/browser/asked.log', 'utf8').trim();
  check(asking === '', asking === '' ? 'neither cells nor completion asked the network for anything' : `asked of the network: ${asking.slice(0, 500)}`);
  if (trouble.length) throw new Error(`errors of the page: ${trouble.join('; ')}`);
}

(async () => {
  for (let i = 0; ; i++) {
    try { if ((await fetch(`${address}/api?token=${token}`)).ok) break; } catch (e) { if (i > 240) throw e; }
    await new Promise(r => setTimeout(r, 500));
  }
  const data = fs.mkdtempSync('out/browser/profile-');
  const context = await chromium.launchPersistentContext(data, { executablePath, viewport: { width: 1280, height: 950 },
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  const outside = [];
  context.on('request', r => { if (!r.url().startsWith(address) && !/^(data|blob|ws:\/\/127)/.test(r.url())) outside.push(r.url()); });
  let failed = '';
  try {
    await walk(context);
  } catch (e) {
    failed = e.message;
    for (const p of context.pages()) {
      for (const dialog of await p.locator('.jp-Dialog').allTextContents().catch(() => [])) failed += `; open dialog: ${dialog}`;
      await p.screenshot({ path: 'out/browser/walk-failed.png' }).catch(() => {});
    }
  } finally {
    await context.close();
    fs.rmSync(data, { recursive: true, force: true });
  }
  for (const url of outside) console.log('  request:', url);
  if (!failed && outside.length === 0) say('no request left the machine, no error');
  console.log(failed ? `walk: FAILED: ${failed}` : outside.length ? 'walk: FAILED: requests left the machine' : 'walk: ok');
  process.exit(failed || outside.length ? 1 : 0);
})().catch(e => { console.error('walk:', e.message); process.exit(1); });
