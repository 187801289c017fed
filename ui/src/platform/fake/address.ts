import { FakePlatform } from "./index";
import { isScenario } from "./scenarios";

/** The platform of `?fake=SCENARIO` in the address. */
export function fakeFromAddress(): FakePlatform | null {
  const name = new URLSearchParams(location.search).get("fake");
  return isScenario(name) ? new FakePlatform(name) : null;
}
