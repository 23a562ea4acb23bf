// Drives the status page in a real browser. Told on stdin when the next thing happened; tells on stdout what it saw.
// Usage: playwright tests/browser/page.cjs CHROMIUM ADDRESS FOLDER
"use strict";
const assert = require("node:assert/strict");
const path = require("node:path");
const readline = require("node:readline");
const axe = require("axe-core").source;
const { chromium } = require("playwright-core");

const [executablePath, address, folder] = process.argv.slice(2);
const origin = `http://${address}`;
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (what) => process.stdout.write(`${what}\n`);
const told = async (what) => assert.equal((await lines.next()).value, what);

/** No rule of axe is broken on the page as it is shown now. */
const accessible = async (page, where) => {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const broken = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ").slice(0, 600)}`);
  assert.deepEqual(broken, [], where);
};

/** A page on which nothing may go wrong without being noticed. */
const watched = async (browser, options) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const wrong = [];
  page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.on("console", (message) => { if (message.type() === "error" && !message.text().includes("favicon")) wrong.push(`console: ${message.text()}`); });
  page.on("request", (request) => { if (!request.url().startsWith(origin)) wrong.push(`request: ${request.url()}`); });
  return { page, context, wrong };
};

const badge = (page) => page.locator("h2 .badge").first();

const main = async () => {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
  const { page, wrong } = await watched(browser, { viewport: { width: 1440, height: 900 }, colorScheme: "light" });

  // A revision that passed.
  await page.goto(origin);
  await page.locator("h2 .badge.pass").waitFor();
  assert.match(await page.locator("main").innerText(), /Runs/);
  await accessible(page, "passed");
  await page.evaluate(() => { globalThis.kept = true; });
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip", "the first stop skips to the gates");
  const summary = page.locator("details[id^=images-] summary");
  await summary.focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("details[id^=images-]").first().getAttribute("open"), "", "a key opens the images");
  assert.match(await page.locator("details[id^=images-]").first().innerText(), /Signed by/);
  say("passed");

  // A refused one with hostile names comes, and the page follows without being loaded again.
  await told("refused");
  await page.locator("h2 .badge.refuse").waitFor({ timeout: 20000 });
  assert.equal(await page.evaluate(() => globalThis.kept), true, "the page was not loaded again");
  assert.equal(await page.locator("details[id^=images-]").first().getAttribute("open"), "", "what was open stays open");
  assert.match(await page.locator("#news").innerText(), /refuse/);
  const text = await page.locator("main").innerText();
  for (const seen of ["What did not pass", "no-signature", "What helps", "<img src=x onerror", "<script>"]) assert.ok(text.includes(seen), seen);
  assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
  assert.equal(await page.locator("main img, main script, main iframe").count(), 0);

  // Both widths, both schemes.
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await page.setViewportSize({ width, height });
    const grounds = [];
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(overflow, 0, `${width} px: nothing is cut off to the side`);
      grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
      await accessible(page, `${width} ${colorScheme}`);
      await page.screenshot({ path: path.join(folder, `${width}-${colorScheme}.png`), fullPage: true });
    }
    assert.notEqual(grounds[0], grounds[1], "dark is dark");
  }

  // The kept report of the revision that passed, by the history.
  await page.locator("details[id^=history-] summary").click();
  await page.locator("details[id^=history-] li:has(.badge.pass) a").first().click();
  await page.locator("h2 .badge.pass").waitFor();
  assert.match(page.url(), /\/gates\/production\/decisions\/[0-9a-f]{40}$/);
  await accessible(page, "decision");
  assert.deepEqual(wrong, []);

  // Without its script it says the same.
  const { page: plain, wrong: trouble } = await watched(browser, { javaScriptEnabled: false });
  await plain.goto(origin);
  assert.equal(await badge(plain).innerText(), "refuse");
  assert.deepEqual(trouble, []);
  await browser.close();
  say("done");
};

main().then(() => process.exit(0), (error) => { process.stderr.write(`${error.stack}\n`); process.exit(1); });
