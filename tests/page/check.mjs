// Looks at the page in Chromium as an operator would: node check.mjs MODULES URL [SCREENSHOTS]
// Lines "please …" ask whoever started it for something to happen, and a line that comes back says that it has.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const [modules, url, shots] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)('playwright-core');
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--force-color-profile=srgb'],
});
const wrong = [];

async function please(what) {
  console.log(`please ${what}`);
  await answers.next();
}

/** A browser of a user's, whose complaints are noted. */
async function opened(user, options = {}) {
  const context = await browser.newContext({
    ...(user ? { httpCredentials: { username: user, password: `sesame of ${user}` } } : {}),
    viewport: { width: 1360, height: 860 },
    colorScheme: 'light',
    ...options,
  });
  context.setDefaultTimeout(12_000);
  const page = await context.newPage();
  page.on('pageerror', (error) => wrong.push(`error: ${error}`));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) wrong.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) wrong.push(`asked for ${request.url()}`);
  });
  return page;
}

async function shot(page, name, options) {
  if (shots) await page.screenshot({ path: `${shots}/page-${name}.png`, animations: 'disabled', ...options });
}

/** Waits until something that the page says of itself is true. */
const until = (page, what, argument) => page.waitForFunction(what, argument);

/** Gives an order by a button, and confirms it. */
async function press(page, button, expected) {
  await button.click();
  await page.getByRole('dialog').waitFor();
  assert.match(await page.locator('#order').innerText(), expected);
  await page.getByRole('button', { name: 'Do it' }).click();
  await page.locator('#told', { hasText: 'Done' }).waitFor();
}

async function login() {
  const page = await opened(null);
  for (const path of ['/', '/main.js', '/api/nodes']) {
    assert.equal((await page.request.get(url + path)).status(), 401, path);
  }
  await page.context().close();
}

async function overview(page) {
  await page.goto(url);
  await page.locator('.picture .node').nth(2).waitFor();
  assert.equal(await page.locator('.node.primary').count(), 1);
  assert.match(await page.getByRole('img', { name: /^Clusters:/ }).getAttribute('aria-label'), /is primary/);
  // It lives: figures grow, and dots move.
  await until(page, () => parseFloat(document.querySelector('.plots .legend .one b')?.textContent) > 0);
  await page.locator('.dot.read').first().waitFor({ state: 'attached' });
  const place = () => page.evaluate(() => [...document.querySelectorAll('.dot')].map((dot) => dot.getAttribute('cx')).join());
  const before = await place();
  await until(page, (then) => [...document.querySelectorAll('.dot')].map((dot) => dot.getAttribute('cx')).join() !== then, before);
  await page.getByRole('img', { name: /^Latency: half [\d.]+ (µs|ms), 95 %/ }).waitFor();
  assert.match(await page.title(), /3 nodes up/);
  await page.getByRole('region', { name: 'Pools' }).getByRole('cell', { name: 'template1' }).waitFor();
}

async function nodes(page) {
  await please('lose a replica');
  await page.locator('.node.down').waitFor({ state: 'attached' });
  await page.locator('#summary.odd', { hasText: '1 of 3 nodes down' }).waitFor();
  await shot(page, 'down');
  await please('bring the replica back');
  await page.locator('.node.down').waitFor({ state: 'detached' });
  const drain = page.getByRole('button', { name: 'Drain', exact: true }).last();
  await drain.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('.node.drained').count(), 0);
  await press(page, drain, /^DRAIN '/);
  await page.locator('.node.drained').waitFor({ state: 'attached' });
  await press(page, page.getByRole('button', { name: 'Undrain' }), /^UNDRAIN '/);
  await page.locator('.node.drained').waitFor({ state: 'detached' });
}

async function sessions(page) {
  await page.keyboard.press('2');
  await page.getByRole('searchbox', { name: 'Search sessions' }).waitFor();
  assert.equal(await page.locator('nav a[aria-current=page]').innerText(), 'Sessions');
  await page.keyboard.press('/');
  // What a client calls itself is text.
  await page.keyboard.type('<img');
  await page.getByRole('cell', { name: '<img src=x onerror=alert(1)>' }).waitFor();
  assert.match(await page.locator('.count').innerText(), /^1 of /);
  await page.getByRole('cell', { name: /temporary/ }).waitFor();
  await page.getByRole('searchbox').fill('');
  await page.getByRole('button', { name: /^waiting [1-9]/ }).waitFor();
  await shot(page, 'sessions');
  await page.getByRole('button', { name: /^waiting/ }).click();
  await page.getByRole('cell', { name: /^primary, / }).first().waitFor();
  await press(page, page.getByRole('button', { name: 'End' }).first(), /^KILL \d+$/);
  await page.getByRole('button', { name: /^waiting 0/ }).waitFor();
}

async function statements(page) {
  await page.getByRole('link', { name: 'Statements' }).click();
  const search = page.getByRole('searchbox', { name: 'Search statements' });
  await page.getByRole('cell', { name: /^INSERT INTO seen VALUES/ }).first().waitFor();
  await shot(page, 'statements');
  await search.fill('max(n)');
  await page.getByRole('cell', { name: /^INSERT INTO seen VALUES/ }).waitFor({ state: 'detached' });
  await page.getByRole('cell', { name: /^SELECT max/ }).first().waitFor();
}

async function policies(page) {
  await page.getByRole('link', { name: 'Policies' }).click();
  const card = page.locator('[data-policy=router]');
  await card.locator('.trial').waitFor();
  await until(page, () => parseFloat(document.querySelector('.differs')?.textContent) > 0);
  await page.getByRole('cell', { name: 'route' }).first().waitFor();
  await shot(page, 'policies');
  const button = card.getByRole('button', { name: 'Roll back' });
  await button.focus();
  // Figures grow, and the button keeps the focus.
  const calls = await card.locator('dd').nth(2).innerText();
  await until(page, (then) => document.querySelectorAll('[data-policy=router] dd')[2].textContent !== then, calls);
  assert.ok(await button.evaluate((element) => element === document.activeElement));
  await press(page, button, /^POLICY 'router' ROLLBACK$/);
  await card.locator('.trial').waitFor({ state: 'detached' });
  await card.getByText('rolled back:').waitFor();
}

async function route(page) {
  await page.getByRole('link', { name: 'Why there?' }).click();
  await page.getByRole('textbox', { name: 'Statement' }).fill('SELECT relname FROM pg_class WHERE oid = 1259');
  await page.getByRole('textbox', { name: 'Database' }).fill('postgres');
  await page.keyboard.press('Control+Enter');
  await page.locator('.steps li', { hasText: 'replica' }).first().waitFor();
  await shot(page, 'route');
  await page.getByRole('textbox', { name: 'Database' }).fill('');
  await page.getByRole('textbox', { name: 'Statement' }).fill('SELECT 1');
  await page.getByRole('textbox', { name: 'User' }).fill('postgres');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.locator('.steps li', { hasText: 'read' }).first().waitFor();
}

async function failover(page) {
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: 'Overview' }).click();
  await page.getByText('No primary has been in doubt').waitFor();
  await please('lose the primary');
  await page.locator('.failover').waitFor();
  await page.getByText(/is the primary/).waitFor();
  await until(page, () => /1 of 3 nodes down/.test(document.title));
  await page.getByText(/^clients: statements that waited: \d+/).waitFor();
}

async function themes(page) {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole('button', { name: 'Use the dark theme' }).click();
  const dark = await ground();
  assert.notEqual(dark, light);
  await page.reload();
  await page.locator('.picture .node').first().waitFor();
  assert.equal(await ground(), dark);
  await page.getByRole('button', { name: 'Use the light theme' }).click();
  assert.equal(await ground(), light);
  const other = await opened('viewer', { colorScheme: 'dark' });
  await other.goto(url);
  await other.locator('.picture .node').first().waitFor();
  assert.equal(await other.evaluate(() => getComputedStyle(document.body).backgroundColor), dark);
  return other;
}

/** Who may only look finds nothing to press. */
async function viewer(page) {
  await page.locator('#visitor', { hasText: 'viewer (looks)' }).waitFor();
  for (const view of ['Overview', 'Sessions', 'Statements', 'Policies']) {
    await page.getByRole('link', { name: view }).click();
    await page.locator('main .panel').first().waitFor();
    assert.equal(await page.locator('button[data-order]').count(), 0);
  }
  const status = await page.evaluate(async () => {
    const headers = { 'Content-Type': 'application/json' };
    return (await fetch('/api/order', { method: 'POST', headers, body: '{"order": "PAUSE"}' })).status;
  });
  assert.equal(status, 403);
  assert.match(wrong.pop(), /403/);
}

async function lost(page) {
  await page.context().setOffline(true);
  await page.getByRole('alert').filter({ hasText: 'does not answer' }).waitFor();
  assert.match(await page.title(), /lost/);
  await shot(page, 'lost');
  await page.context().setOffline(false);
  await page.getByRole('button', { name: 'Ask now' }).click();
  await page.getByRole('alert').waitFor({ state: 'hidden' });
  assert.ok(wrong.length > 0 && wrong.every((text) => /ERR_INTERNET_DISCONNECTED/.test(text)), wrong.join('\n'));
  wrong.length = 0;
}

/** Everything that can be pressed or filled in has a name, and nothing is wider than the window. */
async function sane(page) {
  for (const view of ['Overview', 'Sessions', 'Statements', 'Policies', 'Why there?']) {
    await page.getByRole('link', { name: view }).click();
    const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, textarea, a, [role=img], [role=region]')]
      .filter((element) => !(element.ariaLabel || element.textContent.trim() || element.labels?.length || element.alt))
      .map((element) => element.outerHTML));
    assert.deepEqual(nameless, []);
    for (const width of [1360, 700]) {
      await page.setViewportSize({ width, height: 860 });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${view} at ${width}`);
    }
    await page.setViewportSize({ width: 1360, height: 860 });
  }
}

await login();
const page = await opened('dba');
await overview(page);
await nodes(page);
await sessions(page);
await statements(page);
await policies(page);
await route(page);
await failover(page);
const dark = await themes(page);
if (shots) {
  await page.waitForTimeout(60_000);
  await shot(page, 'light', { fullPage: true });
  await shot(dark, 'dark', { fullPage: true });
}
await sane(page);
await viewer(dark);
await lost(page);
assert.deepEqual(wrong, []);
await browser.close();
process.exit();
