// Called by .ci/browser: CHROMIUM ADDRESS TOKEN NOTEBOOK…
const { chromium } = require(require('path').resolve('out/browser/node_modules/playwright-core'));
const fs = require('fs');
const [executablePath, address, token, ...notebooks] = process.argv.slice(2);
const minutes = 60 * 1000;

async function lab() {
  for (let i = 0; ; i++) {
    try {
      const answer = await fetch(`${address}/api?token=${token}`);
      if (answer.ok) return;
    } catch (e) { if (i > 240) throw e; }
    await new Promise(r => setTimeout(r, 500));
  }
}

async function wait(page, seconds, ready, otherwise) {
  for (let i = 0; !await ready(); i++) {
    if (i > seconds) throw new Error(otherwise);
    await page.waitForTimeout(1000);
  }
}

async function runAll(context, notebook) {
  const page = await context.newPage();
  await page.goto(`${address}/lab/tree/${notebook}?token=${token}&reset`, { timeout: 3 * minutes });
  // The status bar knows when the kernel is connected; the notebook's own indicator does not.
  const idle = () => page.evaluate(() => /\| Idle/.test((document.querySelector('#jp-bottom-panel') || document.body).textContent));
  await wait(page, 300, idle, 'the kernel is not ready');
  await page.click('.lm-MenuBar-itemLabel:text-is("Run")');
  await page.click('.lm-Menu-itemLabel:text-is("Run All Cells")');
  const seen = () => page.evaluate(() => {
    const count = q => document.querySelectorAll(q).length;
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(p => p.textContent);
    return { cells: count('.jp-CodeCell'), numbered: prompts.filter(t => /\[\d+\]/.test(t)).length,
      images: count('.jp-OutputArea-output img, .jp-OutputArea-output svg'), tables: count('.jp-OutputArea-output table'),
      errors: [...document.querySelectorAll('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"], .jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]')].map(e => e.textContent) };
  });
  await wait(page, 1800, async () => { const s = await seen(); return s.errors.length > 0 || s.numbered === s.cells && await idle(); }, 'cells still run');
  await page.waitForTimeout(2000);
  const s = await seen();
  const name = notebook.split('/').pop().replace('.ipynb', '');
  const height = await page.evaluate(() => {
    const room = e => e.scrollHeight - e.clientHeight;
    const all = [...document.querySelectorAll('.jp-NotebookPanel, .jp-NotebookPanel *')].filter(e => /auto|scroll/.test(getComputedStyle(e).overflowY));
    window.scroller = all.reduce((a, b) => room(b) > room(a) ? b : a);
    return window.scroller.scrollHeight;
  });
  for (let at = 0, i = 1; at < height && i <= 12; at += 850, i++) {
    await page.evaluate(y => { window.scroller.scrollTop = y; }, at);
    await page.waitForTimeout(500);
    await page.screenshot({ path: `out/browser/${name}-${i}.png` });
  }
  console.log(`${notebook}: ${s.numbered} of ${s.cells} cells ran, ${s.images} figures, ${s.tables} tables, ${s.errors.length} errors`);
  for (const e of s.errors) console.log('  error:', e.trim().slice(0, 500));
  await page.evaluate(() => fetch('/api/sessions').then(r => r.json()).then(all => Promise.all(all.map(s =>
    fetch(`/api/sessions/${s.id}`, { method: 'DELETE', headers: { 'X-XSRFToken': (document.cookie.match(/_xsrf=([^;]*)/) || [])[1] || '' } })))));
  await page.close();
  return s.numbered === s.cells && s.errors.length === 0 && s.images > 0;
}

(async () => {
  await lab();
  const data = fs.mkdtempSync('out/browser/profile-');
  const context = await chromium.launchPersistentContext(data, { executablePath, viewport: { width: 1300, height: 1000 },
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  const outside = [];
  context.on('request', r => { if (!r.url().startsWith(address) && !/^(data|blob|ws:\/\/127)/.test(r.url())) outside.push(r.url()); });
  let good = true;
  try {
    for (const n of notebooks) good = await runAll(context, n) && good;
  } finally {
    await context.close();
    fs.rmSync(data, { recursive: true, force: true });
  }
  for (const url of outside) console.log('  request:', url);
  console.log(good && outside.length === 0 ? 'browser: ok' : 'browser: FAILED');
  process.exit(good && outside.length === 0 ? 0 : 1);
})().catch(e => { console.error('browser:', e.message); process.exit(1); });
