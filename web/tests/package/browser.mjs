// Pages in a browser.

/**
 * Opens an address, lets `act` use the page, and closes it. Whatever the page reports as an
 * error fails the call, and is told along with any other failure.
 */
export async function visit(browser, url, act) {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.stack ?? String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("requestfailed", (request) =>
    errors.push(`${request.url()}: ${request.failure()?.errorText}`),
  );
  try {
    await page.goto(url);
    const result = await act(page);
    if (errors.length > 0) throw new Error("the page reported errors");
    return result;
  } catch (error) {
    throw new Error(`${url}: ${error.message}\n--- reported by the page\n${errors.join("\n")}`, {
      cause: error,
    });
  } finally {
    await page.close();
  }
}

/** What the page has written into its element `story`, once it has. */
export const told = (page) =>
  page.locator("#story:not(:empty)").textContent({ timeout: 30_000 });
