import { FakePlatform } from "./index";
import { isScenario } from "./scenarios";

/** The platform that the address asks for with `?fake=SCENARIO`. */
export function fakeFromAddress(): FakePlatform | null {
  const name = new URLSearchParams(location.search).get("fake");
  return isScenario(name) ? new FakePlatform(name) : null;
}
