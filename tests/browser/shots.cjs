// Takes pictures of the status page in both themes.
// Usage: playwright tests/browser/shots.cjs CHROMIUM ADDRESS FOLDER
"use strict";
const path = require("node:path");
const { chromium } = require("playwright-core");

const [executablePath, address, folder] = process.argv.slice(2);
const main = async () => {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
  for (const colorScheme of ["light", "dark"]) {
    const page = await browser.newPage({ viewport: { width: 1000, height: 640 }, colorScheme });
    await page.goto(`http://${address}/`);
    await page.locator("h2 .badge.refuse").waitFor();
    for (const summary of await page.locator("details summary").all()) await summary.click();
    await page.screenshot({ path: path.join(folder, `status-${colorScheme}.png`), fullPage: true });
  }
  await browser.close();
};
main().then(() => process.exit(0), (error) => { process.stderr.write(`${error.stack}\n`); process.exit(1); });
