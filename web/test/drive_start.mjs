// Usage: node drive_start.mjs CHROMIUM ADDRESS
// Opens a page until its model is loaded or refused; prints its message as JSON.

import { visit } from "./browser.mjs";

const [chromium, address] = process.argv.slice(2);

async function use(page) {
  await page.waitForFunction(() => !/…$/.test(document.getElementById("message").textContent), { timeout: 60_000 });
  return page.evaluate(() => ({ message: document.getElementById("message").textContent }));
}

console.log(JSON.stringify(await visit(chromium, address, use)));
