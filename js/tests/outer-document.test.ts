import { describe, expect, it } from "vitest";
import { outerDocument, SANDBOX } from "../src/app-view/outer-document";

describe("the outer document", () => {
  it("begins with the doctype, the base and the policy, before any script", () => {
    const html = outerDocument("default-src 'none'", "dark");
    expect(html).toMatch(
      /^<!doctype html><base href="https:\/\/app\.invalid\/"><meta http-equiv="Content-Security-Policy" content="default-src 'none'">/,
    );
    expect(html.indexOf("<script>")).toBeGreaterThan(html.indexOf("Content-Security-Policy"));
    expect(html).toContain('<meta name="color-scheme" content="dark">');
  });

  it.each([
    `default-src 'none'"><script>alert(1)</script>`,
    `"/><base href=//evil>`,
    "a&quot;b",
    'x\r\n\0y"><iframe src=//evil>',
  ])("lets no policy out of its attribute: %j", (csp) => {
    const html = outerDocument(csp, "light");
    const content = /content="([^"]*)"><meta name="color-scheme"/.exec(html)?.[1] ?? "";
    expect(content).not.toMatch(/[<>\r\n\0]/);
    const decoded = content
      .replace(/&quot;/g, '"')
      .replace(/&lt;/g, "<")
      .replace(/&gt;/g, ">")
      .replace(/&amp;/g, "&");
    expect(decoded).toBe(csp.replace(/[\r\n\0]/g, " "));
    expect(html.match(/<script>/g)).toHaveLength(1);
  });

  it("is never given more than scripts and forms", () => {
    expect(SANDBOX).toBe("allow-scripts allow-forms");
  });
});
