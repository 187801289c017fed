import { expect, test } from "vitest";
import { apiBase, curlExample } from "./address";

test.each(["https://grid.example", "https://grid.example/", "https://grid.example/v1", "https://grid.example/v1/"])(
  "%s has /v1 once",
  (url) => expect(apiBase(url)).toBe("https://grid.example/v1"),
);

test("a path before it stays", () => {
  expect(apiBase("http://10.20.0.4:8080/grid/")).toBe("http://10.20.0.4:8080/grid/v1");
});

test("the example can be pasted into a shell", () => {
  expect(curlExample("http://a/v1", "demo", "What's up?", true)).toBe(
    [
      "curl http://a/v1/chat/completions \\",
      '  -H "content-type: application/json" \\',
      '  -H "authorization: Bearer YOUR_KEY" \\',
      `  -d '{"model":"demo","messages":[{"role":"user","content":"What'\\''s up?"}]}'`,
    ].join("\n"),
  );
  expect(curlExample("http://a/v1", "demo", "Hi", false)).not.toMatch(/authorization/);
});
