/** A donor's ways through the pages, by keyboard alone unless a way says otherwise. */
import assert from "node:assert/strict";
import { PAGES } from "./pages.mjs";
import { Walker } from "./walker.mjs";

/** The first figures are there within a second of the window's creation. */
const FIRST_FIGURE_MS = 1000;

/** How a join can be refused, and what the donor then reads; the made-up machine names its codes so. */
const REFUSED_JOINS = {
  used: /was used already/,
  expired: /has expired/,
  foreign: /did not make that join code/,
  version: /update the older one/,
  unreachable: /cannot be reached from this computer/,
};

/** @type {Record<string, (walker: Walker) => Promise<void>>} */
const WAYS = {
  async "figures are there at once"(walker) {
    await walker.open("now", "throttled");
    const ms = await walker.tab.evaluate(() => /** @type {any} */ (globalThis).firstFigureMs);
    console.log(`first figure after ${Math.round(ms)} ms`);
    assert.ok(ms <= FIRST_FIGURE_MS, `the first figure came after ${ms} ms`);
    assert.equal(await walker.attribute("chart-cpu", "data-points"), "60");
    assert.equal(await walker.attribute("chart-cpu", "data-last"), await walker.text("value-cpu"));
  },

  async "the chart of a day says when nothing ran"(walker) {
    await walker.open("now", "throttled");
    assert.equal(await walker.attribute("chart-cpu", "data-gaps"), "");
    await walker.tab.$$eval("[data-testid=range] input, [data-testid=range] button", (all) => all.at(-1)?.click());
    await walker.until(() => document.querySelector("[data-testid=chart-cpu]")?.getAttribute("data-gaps") !== "", null);
    assert.equal(await walker.attribute("chart-cpu", "data-gaps"), "ended unexpectedly, not running");
  },

  async "charts move"(walker) {
    await walker.open("now", "throttled");
    const before = await walker.tab.$eval("[data-testid=chart-cpu] canvas", (canvas) => canvas.toDataURL());
    await walker.until((before) => {
      const canvas = document.querySelector("[data-testid=chart-cpu] canvas");
      return canvas instanceof HTMLCanvasElement && canvas.toDataURL() !== before;
    }, before);
  },

  async "the focus reaches everything and is seen"(walker) {
    for (const page of PAGES) {
      await walker.open(page, "throttled");
      const places = await walker.tabThrough();
      for (const id of ["nav-now", "nav-diagnostics", "pause", "pause-more"]) {
        assert.ok(
          places.some((place) => place.id === id),
          `${page}: ${id} is not reached`,
        );
      }
      const unseen = places.find((place) => !place.seen);
      assert.equal(unseen, undefined, `${page}: the focus is not seen on ${unseen?.html}`);
      const left = await walker.unreached(places.map((place) => place.at));
      assert.deepEqual(left, [], `${page}: not reached by keyboard`);
    }
  },

  async "pause and resume keep the focus"(walker) {
    await walker.open("now", "throttled");
    await walker.press("pause", "Enter");
    await walker.appears("resume");
    assert.match(await walker.text("state"), /^Paused/);
    assert.equal(await walker.focused(), "resume");
    await walker.tab.keyboard.press("Space");
    await walker.appears("pause");
  },

  async "a pause for a while is chosen from the menu"(walker) {
    await walker.open("limits", "throttled");
    await walker.press("pause-more", "Enter");
    await walker.until(() => document.activeElement?.getAttribute("role") === "menuitem", null);
    await walker.tab.keyboard.press("Escape");
    assert.equal(await walker.focused(), "pause-more");
    await walker.tab.keyboard.press("ArrowDown");
    await walker.until(() => document.activeElement?.textContent?.trim() === "15 minutes", null);
    await walker.tab.keyboard.press("Enter");
    await walker.appears("resume");
    assert.match(await walker.text("state"), /^Paused until \d\d:\d\d/);
  },

  async "a slider acts at once, and can be undone"(walker) {
    await walker.open("limits", "throttled");
    await walker.press("slider-cpu", "ArrowLeft");
    await walker.shows("limit-cpu", "45 %");
    await walker.appears("undo");
    await walker.press("undo", "Enter");
    await walker.shows("limit-cpu", "50 %");
  },

  async "a wrong value is marked at its field"(walker) {
    await walker.open("limits", "throttled");
    await walker.write("limit-cpu", "150");
    await walker.appears("limit-cpu-error");
    assert.equal(await walker.text("limit-cpu-error"), "Enter 1 to 100 %.");
    assert.equal(await walker.attribute("limit-cpu", "aria-invalid"), "true");
    await walker.press("limit-cpu", "Escape");
    await walker.gone("limit-cpu-error");
    await walker.shows("limit-cpu", "50 %");
  },

  async "hours are painted by keyboard and by pointer"(walker) {
    await walker.open("limits", "throttled");
    await walker.press("when-schedule", "Space");
    await walker.appears("week-grid");
    await walker.write("limit-schedule", "none");
    await walker.shows("limit-schedule", "none");
    await walker.focus("week-grid");
    await walker.keys("ArrowDown", "ArrowRight");
    await walker.tab.keyboard.down("Shift");
    await walker.keys("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown");
    await walker.tab.keyboard.up("Shift");
    await walker.tab.keyboard.press("Space");
    await walker.shows("limit-schedule", "tue-wed 00:15-01:15");
    await walker.drag("week-grid", [0.501, 0.5 / 7], [0.749, 1.5 / 7]);
    await walker.shows("limit-schedule", "mon-tue 12:00-18:00, tue-wed 00:15-01:15");
  },

  async "what somebody else manages cannot be made laxer"(walker) {
    await walker.open("limits", "managed");
    assert.ok(await walker.isDisabled("when-always"));
    assert.ok(await walker.isDisabled("limit-on-battery"));
    await walker.press("slider-cpu", "End");
    await walker.shows("limit-cpu", "40 %");
    await walker.press("when-idle-in-schedule", "Space");
    await walker.write("limit-schedule", "none");
    await walker.shows("limit-schedule", "none");
    await walker.drag("week-grid", [0.001, 0.5 / 7], [0.999, 6.5 / 7]);
    await walker.shows("limit-schedule", "mon-fri 17:00-09:00, sat-sun");
    await walker.write("limit-gpu-memory", "90%");
    await walker.appears("limit-gpu-memory-error");
    assert.match(await walker.text("limit-gpu-memory-error"), /Managed by Example GmbH: at most 6 of 12 GiB/);
  },

  async "a program is picked from those that run"(walker) {
    await walker.open("limits", "throttled");
    await walker.focus("limit-stop-for");
    await walker.appears("programs");
    await walker.tab.keyboard.type("blen");
    await walker.until(() => document.querySelectorAll("[data-testid=programs] button").length === 1, null);
    await walker.keys("Tab", "Tab", "Enter");
    await walker.until(
      () => document.querySelector("[data-testid=row-stop-for]")?.textContent?.includes("blender runs") ?? false,
      null,
    );
  },

  async "the history is searched"(walker) {
    await walker.open("history", "throttled");
    await walker.focus("history-search");
    await walker.tab.keyboard.type("BLENDER running");
    await walker.until(() => {
      const entries = [...document.querySelectorAll("[data-testid^=day-] li")];
      return entries.length > 0 && entries.every((entry) => entry.textContent?.includes("blender is running"));
    }, null);
    await walker.tab.keyboard.type(" nothing of the kind");
    await walker.appears("no-history");
  },

  async "a day without work has no bar, and bars have an axis"(walker) {
    await walker.open("contribution", "throttled");
    const bars = await walker.tab.$$eval("[data-testid=bars] li", (bars) =>
      bars.map((bar) => ({
        says: bar.querySelector(".spoken")?.textContent ?? "",
        height: bar.querySelector("i")?.getBoundingClientRect().height ?? -1,
      })),
    );
    const empty = bars.filter(({ says }) => says.includes(": 0 pieces"));
    assert.ok(empty.length > 0, "the made-up machine was off on some days");
    assert.ok(
      empty.every(({ height }) => height === 0),
      JSON.stringify(empty),
    );
    assert.match(await walker.text("gutter"), /000.*000.*0/s);
  },

  async "costs follow the donor's price, and a wrong figure is marked"(walker) {
    await walker.open("contribution", "throttled");
    const lent = await walker.text("cost-lent");
    assert.match(lent, /€/);
    await walker.write("figure-price", "free");
    await walker.appears("figure-error");
    assert.equal(await walker.attribute("figure-price", "aria-invalid"), "true");
    await walker.write("figure-price", "0,64");
    await walker.gone("figure-error");
    await walker.until((before) => document.querySelector("[data-testid=cost-lent]")?.textContent !== before, lent);
    await walker.write("figure-rest_watts", "9000");
    await walker.appears("figure-error");
    assert.match(await walker.text("figure-error"), /1 to 5000 W/);
  },

  async "models that are not in use are cleared once the donor agrees"(walker) {
    await walker.open("limits", "throttled");
    await walker.appears("clear-Qwen3-0.6B");
    const before = await walker.text("weights-sum");
    await walker.press("clear-Qwen3-0.6B", "Enter");
    await walker.until(() => document.querySelector("dialog")?.contains(document.activeElement) ?? false, null);
    await walker.tab.keyboard.press("Escape");
    await walker.gone("clear-yes");
    await walker.press("clear-all", "Enter");
    await walker.appears("clear-yes");
    await walker.press("clear-yes", "Enter");
    await walker.gone("clear-Qwen3-0.6B");
    assert.notEqual(await walker.text("weights-sum"), before);
    assert.ok(await walker.hasText("weights", "in use"), "the model that computes stays");
  },

  async "joining says what is wrong with a code, then joins"(walker) {
    await walker.open("connection", "not-joined");
    await walker.write("join-code", "gogrid1-no");
    await walker.appears("join-error");
    await walker.write("join-code", "gogrid1-mfzwizltoqxgk3lq4rqw2zjoe5xgk2lb");
    await walker.appears("leave");
    assert.equal(await walker.text("grid"), "Example Grid");
  },

  async "every end of a join is shown where it was begun"(walker) {
    for (const [page, fake] of /** @type {const} */ ([
      ["connection", "not-joined"],
      ["now", "welcome"],
    ])) {
      for (const [kind, words] of Object.entries(REFUSED_JOINS)) {
        await walker.open(page, fake);
        const code = `gogrid1-${kind.padEnd(32, "a")}`;
        await walker.write("join-code", code);
        // The attempt is short: on a busy machine it may be over at the first look.
        await walker.until(
          () =>
            document.querySelector("[data-testid=join]")?.getAttribute("aria-busy") === "true" ||
            document.querySelector("[data-testid=join-error]") !== null,
          null,
        );
        assert.equal(await walker.isThere("welcome-joined"), false, `${kind}: membership is said during the attempt`);
        assert.equal(await walker.isThere("leave"), false, `${kind}: a grid is shown during the attempt`);
        await walker.appears("join-error");
        assert.match(await walker.text("join-error"), words);
        await walker.shows("join-code", code);
      }
    }
  },

  async "a join that fails on another page is told there, and in the form afterwards"(walker) {
    await walker.open("connection", "not-joined");
    await walker.write("join-code", `gogrid1-${"used".padEnd(32, "a")}`);
    await walker.press("nav-limits", "Enter");
    await walker.appears("toast");
    assert.match(await walker.text("toast"), /was used already/);
    await walker.press("nav-connection", "Enter");
    await walker.appears("join-error");
  },

  async "the tray's Join leads to where a code is typed, again and again"(walker) {
    for (const fake of ["not-joined", "welcome"]) {
      await walker.open("limits", fake);
      await walker.tab.evaluate(() => /** @type {any} */ (globalThis).fakePlatform.askToJoin());
      await walker.appears("join-code");
    }
    await walker.open("now", "not-joined");
    for (const page of ["limits", "diagnostics"]) {
      await walker.press(`nav-${page}`, "Enter");
      await walker.tab.evaluate(() => /** @type {any} */ (globalThis).fakePlatform.askToJoin());
      await walker.appears("join-code");
    }
  },

  async "leaving asks first"(walker) {
    await walker.open("connection", "throttled");
    await walker.press("leave", "Enter");
    await walker.until(() => document.querySelector("dialog")?.contains(document.activeElement) ?? false, null);
    await walker.tab.keyboard.press("Escape");
    await walker.gone("leave-yes");
    await walker.press("leave", "Enter");
    await walker.appears("leave-yes");
    await walker.press("leave-yes", "Enter");
    await walker.appears("join-code");
    // By mistake: back without a code.
    await walker.appears("join-again");
    assert.match(await walker.text("left"), /Example Grid/);
    await walker.press("join-again", "Enter");
    await walker.appears("leave");
    assert.equal(await walker.isThere("left"), false);
  },

  async "a code says whose grid it is before it is used"(walker) {
    await walker.open("connection", "not-joined");
    await walker.focus("join-code");
    await walker.tab.keyboard.type("gogrid1-mfzwizltoqxgk3lq4r");
    assert.equal(await walker.isThere("code-details"), false, "a half typed code says nothing");
    await walker.tab.keyboard.type("qw2zjoe5xgk2lb");
    await walker.appears("code-details");
    assert.match(await walker.text("code-details"), /Example Grid.*10\.20\.0\.4:7450.*8ab3/);
    assert.equal(await walker.text("state"), "Not joined to a grid");
  },

  async "the grid answers, can be stopped, and a refusal says why"(walker) {
    await walker.open("ask", "throttled");
    await walker.appears("ask-send");
    assert.equal(await walker.isDisabled("ask-send"), true, "there is no question yet");
    await walker.focus("ask-question");
    await walker.tab.keyboard.type("Why?");
    await walker.tab.keyboard.press("Enter");
    await walker.until(
      () => document.querySelector("[data-testid=ask-log]")?.textContent?.includes("for a while.") ?? false,
      null,
    );
    assert.match(await walker.text("ask-log"), /You Why\? Qwen3-8B You asked: Why\?/);
    await walker.focus("ask-question");
    await walker.tab.keyboard.type("And then?");
    await walker.tab.keyboard.press("Enter");
    await walker.appears("ask-stop");
    await walker.until(
      () => document.querySelector("[data-testid=ask-log]")?.textContent?.includes("And then? I") ?? false,
      null,
    );
    await walker.press("ask-stop", "Enter");
    await walker.appears("ask-send");
    assert.match(await walker.text("ask-log"), /Stopped\./);
    await walker.tab.select("[data-testid=ask-model]", "Llama-70B");
    await walker.focus("ask-question");
    await walker.tab.keyboard.type("Still?");
    await walker.tab.keyboard.press("Enter");
    await walker.appears("ask-error");
    assert.match(await walker.text("ask-error"), /not ready/);
    await walker.shows("ask-question", "Still?");
    assert.match(await walker.text("ask-log"), /Qwen3-8B You asked: Why/, "an earlier answer keeps its model's name");
    assert.equal(await walker.attribute("api-address", "aria-label"), "Address of the API");
    await walker.shows("api-address", "http://10.20.0.4:8080/v1");
  },

  async "models that are not told can be asked for again"(walker) {
    await walker.open("ask", "refusing");
    await walker.appears("ask-models-error");
    await walker.press("ask-retry", "Enter");
    await walker.appears("ask-models-error");
    assert.equal(await walker.isThere("ask-error"), false);
  },

  async "a grid that asks for a key gets it, and it can be forgotten"(walker) {
    await walker.open("ask", "keyed");
    await walker.appears("ask-key");
    assert.equal(await walker.text("ask-models-error"), "This grid asks for a key. Its operator has yours.");
    assert.equal(await walker.attribute("ask-key", "type"), "password");
    await walker.write("ask-key", "gg-other");
    await walker.until(
      () => document.querySelector("[data-testid=ask-models-error]")?.textContent?.includes("does not take") ?? false,
      null,
    );
    await walker.write("ask-key", "gg-example");
    await walker.appears("ask-question");
    assert.match(await walker.text("ask-key-kept"), /key store/);
    assert.equal(await walker.tab.evaluate(() => document.documentElement.outerHTML.includes("gg-example")), false);
    await walker.press("ask-forget-key", "Enter");
    await walker.appears("ask-key");
    await walker.shows("ask-key", "");
  },

  async "a link's code is only offered"(walker) {
    await walker.open("now", "offered");
    await walker.appears("offered");
    await walker.press("forget", "Enter");
    await walker.gone("offered");
  },

  async "the first run can be skipped step by step"(walker) {
    await walker.open("now", "welcome");
    for (const step of ["Step 1 of 3", "Step 2 of 3"]) {
      assert.ok(await walker.hasText("welcome", step));
      await walker.press("welcome-skip", "Enter");
      await walker.drawn();
    }
    // The last step does what its switch shows.
    assert.ok(await walker.hasText("welcome", "Step 3 of 3"));
    assert.equal(await walker.isThere("welcome-skip"), false);
    await walker.press("welcome-autostart", "Space");
    await walker.press("welcome-next", "Enter");
    await walker.appears("state");
    assert.equal(await walker.text("state"), "Not joined to a grid");
    await walker.press("nav-diagnostics", "Enter");
    await walker.appears("autostart");
    assert.equal(await walker.isChecked("autostart"), false);
  },

  async "the first run joins, sets a preset and starts at login"(walker) {
    await walker.open("now", "welcome");
    await walker.write("join-code", "gogrid1-mfzwizltoqxgk3lq4rqw2zjoe5xgk2lb");
    await walker.appears("preset-quiet");
    assert.match(await walker.text("welcome-helps"), /It helps Example Grid: Drafts, summaries.*Run by Platform team/);
    await walker.press("preset-quiet", "Enter");
    await walker.press("welcome-next", "Enter");
    await walker.appears("welcome-autostart");
    await walker.press("welcome-next", "Enter");
    await walker.appears("nav-limits");
    await walker.press("nav-limits", "Enter");
    await walker.appears("preset-quiet");
    assert.equal(await walker.attribute("preset-quiet", "aria-pressed"), "true");
  },

  async "a locked key store leaves a choice"(walker) {
    await walker.open("now", "held");
    await walker.appears("key-store");
    await walker.tab.$$eval("[data-testid=key-store] button", (buttons) => buttons.at(-1)?.focus());
    await walker.tab.keyboard.press("Enter");
    await walker.appears("value-cpu");
  },

  async "nothing moves or goes because the pointer moves towards it"(walker) {
    for (const page of PAGES) {
      await walker.open(page, "noticing");
      await walker.settled();
      const before = await walker.places();
      assert.ok(before.length > 5, `${page}: only ${before.length} things can be clicked`);
      await walker.moveOver(before.map(({ x, y }) => [x, y]));
      // The movement itself has changed what the machine does, and why.
      await walker.until(
        () => document.querySelector("header p")?.textContent?.includes("You are using") ?? false,
        null,
      );
      await walker.settled();
      const after = await walker.places();
      for (const place of before) {
        const now = after.find(({ name }) => name === place.name);
        assert.deepEqual(now, place, `${page}: ${place.name}`);
      }
    }
  },

  async "an axis has room for its widest label, whatever the font"(walker) {
    for (const [page, fake] of /** @type {const} */ ([
      ["now", "wide"],
      ["contribution", "throttled"],
    ])) {
      await walker.open(page, fake);
      for (const font of ["DejaVu Sans", "Noto Sans", "Liberation Sans", "DejaVu Sans Mono", "serif"]) {
        await walker.setFont(font);
        const cut = await walker.tab.evaluate(findCutLabels);
        assert.deepEqual(cut, [], `${page} in ${font}`);
      }
    }
    await walker.open("now", "wide");
    assert.match(await walker.text("chart-memory"), /1010 GiB/);
  },

  async "what a machine lacks is told once when it is set up, and once in Limits"(walker) {
    await walker.open("now", "welcome-bare");
    await walker.press("welcome-skip", "Enter");
    await walker.appears("welcome-missing");
    assert.match(await walker.text("welcome-missing"), /does not tell when you are away, how hot it is or whether/);
    // Without its signal this rule is not off: it lets nothing run.
    assert.match(await walker.text("welcome-missing"), /only while you are away, GoGrid never works here/);
    assert.match(await walker.text("preset-full"), /Nothing but you stops it/);
    assert.match(await walker.text("preset-quiet"), /Never works here/);
    await walker.open("limits", "bare");
    assert.match(await walker.text("row-max-temperature"), /Off here: the machine shows no temperature sensor/);
    assert.equal(await walker.isThere("turn-off-max-temperature"), false);
    await walker.open("now", "bare");
    assert.equal(await walker.text("state"), "Working");
  },

  async "a rule that cannot see is turned off where it is explained"(walker) {
    await walker.open("limits", "blind");
    await walker.press("turn-off-full-screen", "Enter");
    await walker.gone("turn-off-full-screen");
  },

  async "the self-test shows its figures, the report its text"(walker) {
    await walker.open("diagnostics", "throttled");
    assert.match(await walker.text("signal-user_idle"), /idle for \d+:\d\d/);
    // Answers are under way: the test offers to wait for them, and is not simply refused.
    await walker.press("selftest", "Enter");
    await walker.appears("selftest-answers");
    await walker.press("selftest-after-answers", "Enter");
    await walker.appears("selftest-result");
    assert.match(await walker.text("selftest-result"), /6\.2 ms/);
    await walker.press("report", "Enter");
    await walker.appears("report-text");
  },
};

/** Runs in the page. @returns {string[]} labels of axes that leave their gutter, or reach into what is drawn */
function findCutLabels() {
  const gutters = [...document.querySelectorAll("[data-testid=gutter]")];
  if (gutters.length === 0) return ["no axis"];
  return gutters.flatMap((gutter) => {
    const [card, drawn] = [gutter.closest(".card"), gutter.nextElementSibling];
    const range = document.createRange();
    return [...gutter.children].flatMap((label) => {
      range.selectNodeContents(label);
      const { left, right, width } = range.getBoundingClientRect();
      const from = card?.getBoundingClientRect().left ?? 0;
      const to = drawn?.getBoundingClientRect().left ?? 0;
      return width === 0 || (left >= from && right <= to)
        ? []
        : [`${label.textContent}: ${left} to ${right} of ${from} to ${to}`];
    });
  });
}

/** @param {import("./browser.mjs").Browser} browser @param {import("./findings.mjs").Findings} findings */
export async function walkAll(browser, findings) {
  const walker = new Walker(browser);
  for (const [name, way] of Object.entries(WAYS)) {
    findings.checked(name);
    try {
      await way(walker);
      for (const complaint of browser.complaints) findings.wrong(name, complaint);
    } catch (error) {
      findings.wrong(name, [String(error), ...browser.complaints].join("; "));
    }
  }
}
