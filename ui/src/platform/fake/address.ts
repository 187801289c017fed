import { FakePlatform } from "./index";
import { isScenario } from "./scenarios";

/** The platform of `?fake=SCENARIO` in the address. */
export function fakeFromAddress(): FakePlatform | null {
  const name = new URLSearchParams(location.search).get("fake");
  if (!isScenario(name)) return null;
  const platform = new FakePlatform(name);
  window.addEventListener("pointermove", () => platform.pointerMoved());
  // For walks: what the donor does outside the page.
  Object.assign(globalThis, { fakePlatform: platform });
  return platform;
}
