// Two people use the page in two browsers: they sign up, befriend each other, chat, make a group, post and call.

import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [base, shots] = process.argv.slice(2);
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"];
const complaints = [];

async function browser(name, options) {
  const directory = mkdtempSync(join(tmpdir(), "hearth-page-"));
  const context = await chromium.launchPersistentContext(directory, {
    executablePath: "/usr/bin/chromium", headless: true, args: FLAGS, viewport: { width: 1200, height: 780 }, permissions: ["microphone", "camera"], ...options,
  });
  const page = context.pages()[0] || (await context.newPage());
  page.setDefaultTimeout(20000);
  page.on("pageerror", (error) => complaints.push(`${name}: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && /Content Security Policy|Uncaught/.test(message.text())) complaints.push(`${name}: ${message.text()}`);
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(base) && !/^(blob|data|about):/.test(url)) complaints.push(`${name}: asked elsewhere: ${url}`);
  });
  return { context, page };
}

const step = (text) => console.log(text);
const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`) });

async function signUp(page, name) {
  await page.goto(base);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill("a password nobody guesses");
  await page.getByRole("button", { name: "Sign up" }).click();
  await page.getByRole("link", { name: "Friends", exact: false }).first().waitFor();
}

async function say(page, text) {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.keyboard.press("Enter");
}

async function openMenu(page, text) {
  const message = page.getByRole("log").locator("li.message", { hasText: text }).last();
  await message.hover();
  await message.getByRole("button", { name: "Message actions" }).click();
}

// Whatever one can use has a name that a screen reader says, and keys reach it.
async function checkNames(...people) {
  for (const { page } of people) {
    const nameless = await page.evaluate(() => [...document.querySelectorAll("button, a[href], input:not([type=file]), textarea, select")]
      .filter((one) => one.checkVisibility() && !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim() || one.title))
      .map((one) => one.outerHTML));
    assert.deepEqual(nameless, []);
    assert.equal(await page.evaluate(() => document.querySelectorAll("[tabindex]:not([tabindex='0']):not([tabindex='-1'])").length), 0);
  }
}

const alice = await browser("alice", { colorScheme: "light" });
const bob = await browser("bob", { colorScheme: "dark" });
try {
  await alice.page.goto(base);
  await shot(alice.page, "entrance");
  await signUp(alice.page, "alice");
  await signUp(bob.page, "bob");
  step("signed up");

  await alice.page.goto(`${base}/#/people`);
  await alice.page.getByLabel("Name").fill("bob");
  await alice.page.getByLabel("Message").fill("It is me, Alice");
  await alice.page.getByRole("button", { name: "Send request" }).click();
  await bob.page.goto(`${base}/#/people`);
  await bob.page.getByText("It is me, Alice").waitFor();
  await shot(bob.page, "request");
  await bob.page.getByRole("button", { name: "Accept" }).click();
  await bob.page.getByRole("textbox", { name: "Message" }).waitFor();
  await alice.page.getByRole("link", { name: "bob" }).first().click();
  step("befriended");

  for (const [who, text] of [[alice, "Hi Bob! Is the oven warm yet?"], [bob, "Almost. The dough has been resting since noon."],
    [alice, "Then I bring the plums!"], [bob, "And some cinnamon, please."]]) {
    await say(who.page, text);
    await Promise.all([alice, bob].map(({ page }) => page.getByRole("log").getByText(text).waitFor()));
  }
  await alice.page.locator("input[type=file]").first().setInputFiles({ name: "cake.png", mimeType: "image/png", buffer: await drawing(alice.page) });
  await bob.page.getByRole("log").getByAltText("cake.png").waitFor();
  await bob.page.waitForFunction(() => [...document.querySelectorAll(".bubble img")].some((image) => image.naturalWidth > 0));
  await alice.page.getByText("Seen", { exact: true }).waitFor();
  step("chatted");

  await openMenu(alice.page, "And some cinnamon, please.");
  await alice.page.getByRole("button", { name: "Reply" }).click();
  await say(alice.page, "Cinnamon it is: https://example.org/cinnamon");
  await bob.page.locator(".quote").getByText("And some cinnamon, please.").waitFor();
  await bob.page.getByRole("log").getByRole("link", { name: "https://example.org/cinnamon" }).waitFor();
  await openMenu(bob.page, "Cinnamon it is");
  await bob.page.getByRole("button", { name: "React with ❤️" }).click();
  await alice.page.getByRole("button", { name: /^❤️: / }).waitFor();
  await openMenu(alice.page, "Then I bring the plums!");
  await alice.page.getByRole("button", { name: "Edit" }).click();
  await alice.page.getByRole("textbox", { name: "Message" }).fill("Then I bring the plums, and cream!");
  await alice.page.keyboard.press("Enter");
  await bob.page.getByRole("log").getByText("Then I bring the plums, and cream!").waitFor();
  await say(bob.page, "Never mind");
  await openMenu(bob.page, "Never mind");
  await bob.page.getByRole("button", { name: "Take back" }).click();
  await alice.page.getByRole("log").getByText("This message was taken back.").waitFor();
  await checkNames(alice, bob);
  step("answered");

  await bob.page.getByRole("button", { name: "You" }).click();
  await bob.page.getByRole("dialog").locator("input[type=file]").setInputFiles({ name: "face.png", mimeType: "image/png", buffer: await drawing(bob.page) });
  await alice.page.locator(".list .avatar img").first().waitFor();
  await alice.page.getByRole("button", { name: "About this friend" }).click();
  await alice.page.getByRole("dialog").getByLabel("What you call them").waitFor();
  await checkNames(alice);
  await alice.page.keyboard.press("Escape");
  await alice.page.getByRole("dialog").waitFor({ state: "detached" });
  step("shown");

  await alice.page.goto(`${base}/#/groups`);
  await alice.page.getByRole("button", { name: "New group" }).click();
  const form = alice.page.getByRole("dialog");
  await form.getByLabel("Name").fill("Bakers");
  await form.getByLabel("What it is about").fill("What goes into the oven, and when");
  await form.getByRole("checkbox").check();
  await form.getByRole("button", { name: "Create group" }).click();
  await alice.page.getByRole("heading", { name: "Bakers" }).waitFor();
  await bob.page.goto(`${base}/#/groups`);
  await bob.page.getByRole("button", { name: "Join", exact: true }).click();
  await bob.page.getByRole("heading", { name: "Bakers" }).waitFor();
  await say(bob.page, "Saturday, eight o'clock?");
  await alice.page.getByRole("log").getByText("Saturday, eight o'clock?").waitFor();
  await alice.page.getByRole("button", { name: "About this group" }).click();
  await alice.page.getByRole("button", { name: "Invite by link or QR code" }).click();
  await alice.page.getByAltText("The link as a QR code").waitFor();
  await shot(alice.page, "group");
  await checkNames(alice);
  await alice.page.getByRole("button", { name: "Close" }).click();
  step("grouped");

  await alice.page.goto(`${base}/#/moments`);
  await alice.page.getByRole("textbox", { name: "What is new?" }).fill("First plum cake of the year.");
  await alice.page.locator("input[type=file]").setInputFiles({ name: "plums.png", mimeType: "image/png", buffer: await drawing(alice.page) });
  await alice.page.getByRole("button", { name: "Post" }).click();
  await alice.page.getByRole("article").getByText("First plum cake of the year.").waitFor();
  await bob.page.goto(`${base}/#/moments`);
  await bob.page.getByRole("article").getByText("First plum cake of the year.").waitFor();
  await bob.page.getByRole("button", { name: /^Like/ }).click();
  await bob.page.locator(".liked").waitFor();
  await bob.page.getByRole("textbox", { name: "Comment" }).fill("Keep a slice for me!");
  await bob.page.keyboard.press("Enter");
  await alice.page.getByText("Keep a slice for me!").waitFor();
  await bob.page.waitForFunction(() => [...document.querySelectorAll(".pictures img")].some((image) => image.naturalWidth > 0));
  await shot(bob.page, "moments");
  await checkNames(bob);
  step("posted");

  for (const { page } of [alice, bob]) {
    await page.goto(`${base}/#/chats`);
    await page.locator(".list a").filter({ has: page.locator("strong", { hasText: page === alice.page ? /^bob$/ : /^alice$/ }) }).click();
  }
  await alice.page.getByRole("button", { name: "Call with video" }).click();
  await bob.page.getByRole("button", { name: "Answer" }).click();
  for (const { page } of [alice, bob]) await page.getByText("Connected", { exact: true }).waitFor();
  await alice.page.waitForFunction(() => document.querySelector("video.theirs")?.videoWidth > 0);
  await shot(alice.page, "call");
  await alice.page.getByRole("button", { name: "Hang up" }).click();
  await bob.page.getByText("The call has ended.").waitFor();
  step("called");

  await alice.page.getByRole("log").getByText("Cinnamon it is").waitFor();
  await alice.page.waitForFunction(() => !document.getElementById("notice").classList.contains("shown"));
  await shot(alice.page, "page");
  await bob.page.setViewportSize({ width: 390, height: 780 });
  await shot(bob.page, "phone");
  await bob.page.goto(`${base}/#/chats`);
  await bob.page.reload();
  await bob.page.locator(".list").getByText("Bakers").waitFor();
  await shot(bob.page, "phone-chats");
  const width = await bob.page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `the page is ${width} wide on a phone`);
  assert.deepEqual(complaints, []);
  step("done");
} catch (error) {
  await shot(alice.page, "failed-alice").catch(() => {});
  await shot(bob.page, "failed-bob").catch(() => {});
  console.error(complaints.join("\n"));
  throw error;
} finally {
  await alice.context.close();
  await bob.context.close();
}

// A picture to send: plums on a plate, drawn by the browser itself.
async function drawing(page) {
  const url = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 400 });
    const pen = canvas.getContext("2d");
    const sky = pen.createLinearGradient(0, 0, 0, 400);
    sky.addColorStop(0, "#fde7cf");
    sky.addColorStop(1, "#e9b384");
    pen.fillStyle = sky;
    pen.fillRect(0, 0, 640, 400);
    const disc = (x, y, w, h, colour) => {
      pen.fillStyle = colour;
      pen.beginPath();
      pen.ellipse(x, y, w, h, 0, 0, 7);
      pen.fill();
    };
    disc(320, 270, 260, 80, "#fffaf5");
    disc(320, 262, 200, 56, "#d08a4e");
    for (let i = 0; i < 14; i++) disc(170 + (i % 7) * 50, 245 + Math.floor(i / 7) * 30, 22, 13, i % 2 ? "#5b1f4a" : "#7d2a63");
    return canvas.toDataURL("image/png");
  });
  return Buffer.from(url.split(",")[1], "base64");
}
