// Usage: node drive_page.mjs CHROMIUM ADDRESS FOLDER IMAGE...
// Gives a page each image, then its last example and a threshold of 1; prints the answers as JSON, and writes pictures.

import { photograph, visit } from "./browser.mjs";

const [chromium, address, folder, ...images] = process.argv.slice(2);

async function answer(page, act) {
  await page.evaluate(() => (document.getElementById("message").textContent = "…"));
  await act();
  await page.waitForFunction(() => !/…$/.test(document.getElementById("message").textContent), { timeout: 60_000 });
  return page.evaluate(() => ({
    message: document.getElementById("message").textContent,
    shown: !document.getElementById("numbers").hidden,
    corners: document.querySelector("#box polygon")?.getAttribute("points") ?? null,
    values: Object.fromEntries([...document.querySelectorAll("#numbers data")].map((data) => [data.id, Number(data.value)])),
  }));
}

async function use(page) {
  await page.waitForFunction(() => document.getElementById("message").textContent.startsWith("Ready"), { timeout: 60_000 });
  const answers = [];
  for (const image of images) answers.push(await answer(page, () => page.setInputFiles("#file", image)));
  const examples = page.locator("#examples button");
  const empty = await answer(page, () => examples.last().click());
  const tooWide = await photograph(page, folder, "empty");
  const example = await answer(page, () => examples.first().click());
  tooWide.push(...(await photograph(page, folder, "example")));
  const strict = await answer(page, () => page.locator("#threshold").fill("1"));
  return { answers, empty, example, strict, tooWide };
}

console.log(JSON.stringify(await visit(chromium, address, use)));
