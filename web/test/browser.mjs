// Opens an address in headless Chromium, and collects what a page must not do.

import { chromium } from "playwright-core";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const NAMES = "--host-resolver-rules=MAP page.test 127.0.0.1"; // as a server elsewhere, to which browsers grant less
const WIDTHS = { 1280: 900, 390: 844 }; // px, with a height

/** Calls use(page) with the address open; returns {complaints, ...}, where complaints lists errors and requests of other hosts. */
export async function visit(executablePath, address, use) {
  const browser = await chromium.launch({ executablePath, args: [...FLAGS, NAMES, "--disable-component-update", "--disable-sync"] });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const complaints = [];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("requestfailed", (request) => complaints.push(`failed: ${request.url()}`));
    page.on("request", (request) => {
      const isLocal = [new URL(address).origin, "data:", "blob:"].some((start) => request.url().startsWith(start));
      if (!isLocal) complaints.push(`asks another host: ${request.url()}`);
    });
    await page.goto(address);
    return { ...(await use(page)), complaints };
  } finally {
    await browser.close();
  }
}

/** Takes a picture at each width; returns the widths at which the page is wider than the window. */
export async function photograph(page, folder, name) {
  const tooWide = [];
  for (const [width, height] of Object.entries(WIDTHS)) {
    await page.setViewportSize({ width: Number(width), height });
    await page.screenshot({ path: `${folder}/${name}-${width}.png`, fullPage: true });
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) tooWide.push(Number(width));
  }
  return tooWide;
}
