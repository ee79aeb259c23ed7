// Usage: node drive_report.mjs CHROMIUM ADDRESS FOLDER
// Opens an HTML report; prints what it shows as JSON, and writes pictures.

import { photograph, visit } from "./browser.mjs";

const [chromium, address, folder] = process.argv.slice(2);

async function use(page) {
  const shown = await page.evaluate(() => ({
    title: document.title,
    headings: [...document.querySelectorAll("h1, h2")].filter((one) => one.offsetHeight).map((one) => one.textContent),
    rows: document.querySelectorAll("table tr").length,
    curves: [...document.querySelectorAll("svg")].filter((one) => one.getBoundingClientRect().height > 50).length,
    pictures: [...document.images].filter((one) => one.complete && one.naturalWidth && one.offsetHeight && one.alt).length,
    broken: [...document.images].filter((one) => !one.naturalWidth).length,
  }));
  return { ...shown, tooWide: await photograph(page, folder, "report") };
}

console.log(JSON.stringify(await visit(chromium, address, use)));
