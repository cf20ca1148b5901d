// Called by .ci/browser pages: CHROMIUM. Opens every page that make html wrote, as a desk and as a telephone do: nothing may be wider than the
// screen, fail or ask the network, and the search finds. Pictures of the first screens go to out/browser.
const { chromium } = require(require('path').resolve('out/browser/node_modules/playwright-core'));
const fs = require('fs');
const path = require('path');
const [executablePath] = process.argv.slice(2);
const site = path.resolve('out/html');
const wrong = [];

(async () => {
  const browser = await chromium.launch({ executablePath, args: ['--headless', '--no-sandbox', '--disable-gpu'] });
  const pages = fs.readdirSync(site).filter(f => f.endsWith('.html'));
  for (const width of [1280, 390]) {
    const context = await browser.newContext({ viewport: { width, height: 900 } });
    context.on('request', r => { if (!/^(file|data|blob):/.test(r.url())) wrong.push(`${width}: request ${r.url()}`); });
    const page = await context.newPage();
    for (const name of pages) {
      const failed = e => wrong.push(`${name} at ${width}: ${e.message}`);
      page.on('pageerror', failed);
      await page.goto('file://' + path.join(site, name), { waitUntil: 'load' });
      const wide = await page.evaluate(() => {
        const most = document.documentElement.clientWidth + 1;
        if (document.documentElement.scrollWidth <= most) return '';
        const clipped = e => { for (let p = e.parentElement; p && p !== document.body; p = p.parentElement) if (/auto|scroll|hidden/.test(getComputedStyle(p).overflowX) && p.getBoundingClientRect().right <= most) return true; return false; };
        const all = [...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > most && !clipped(e));
        return `${document.documentElement.scrollWidth} pixels: ` + all.slice(0, 3).map(e => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 40)}`).join(' | ');
      });
      if (wide) wrong.push(`${name} at ${width}: wider than the screen, ${wide}`);
      const broken = await page.evaluate(() => [...document.images].filter(i => i.loading !== 'lazy' && i.complete && i.naturalWidth === 0).map(i => i.src.slice(0, 80)));
      if (broken.length) wrong.push(`${name} at ${width}: pictures missing: ${broken.join(', ')}`);
      if (/^(index|RESULTS|GLOSSARY|05|16|17)/.test(name)) {
        const stem = `out/browser/page-${name.replace('.html', '')}-${width}`;
        await page.screenshot({ path: `${stem}-1.png` });
        await page.evaluate(() => scrollTo(0, document.body.scrollHeight / 2));
        await page.waitForLoadState('networkidle');
        await page.screenshot({ path: `${stem}-2.png` });
      }
      page.off('pageerror', failed);
    }
    await page.goto('file://' + path.join(site, 'index.html'));
    const shown = () => page.evaluate(() => [...document.querySelectorAll('section')].filter(s => s.offsetHeight > 0).length);
    const all = await shown();
    await page.fill('input[type=search]', 'Passkey');
    const some = await shown();
    await page.fill('input[type=search]', 'no such word anywhere');
    if (!(some > 0 && some < all) || await shown() !== 0) wrong.push(`search at ${width}: ${some} of ${all} for a word, ${await shown()} for none`);
    await context.close();
    console.log(`pages: ${pages.length} at ${width} pixels, search: ${some} of ${all}`);
  }
  await browser.close();
  for (const w of wrong) console.log('  ' + w);
  console.log(wrong.length ? 'pages: FAILED' : 'pages: ok');
  process.exit(wrong.length ? 1 : 0);
})().catch(e => { console.error('pages:', e.message); process.exit(1); });
