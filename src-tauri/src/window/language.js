// WebKit takes the C locale's name for a language, and then a script that formats a number ends in an error.
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en" });
  Object.defineProperty(navigator, "languages", { value: ["en"] });
}
