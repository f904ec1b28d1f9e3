import { expect, it, vi } from "vitest";

// What the page has, and the modules ask for as they are read.
vi.stubGlobal("matchMedia", () => ({ matches: true }));
vi.stubGlobal("HTMLElement", Object);
const { fileName, files } = await import("../src/app-view/consent/download");

it("keeps files under plain names", () => {
  const names = {
    "../../etc/passwd": "passwd",
    "..\\..\\autoexec.bat": "autoexec.bat",
    "%2e%2e%2f.bashrc": "_.bashrc",
    ".bash_profile": "bash_profile",
    "...": "download",
    "": "download",
    "photo\u202egpj.exe": "photo_gpj.exe",
    "a\u0000b\u001b[31m\nc.txt": "a_b_[31m_c.txt",
    '<img src=x onerror="alert(1)">.html': "_img src=x onerror=_alert(1)__.html",
    "C:report.pdf": "report.pdf",
    "a|b*c?d": "a_b_c",
    "%zz.txt": "%zz.txt",
  };
  for (const [given, kept] of Object.entries(names)) expect(fileName(given, ""), given).toBe(kept);
  expect(fileName("x".repeat(500), "")).toHaveLength(120);
  expect(fileName({}, "ui://a/b/c.csv?x#y")).toBe("c.csv");
});

it("makes nothing that a browser would run where it opens it", () => {
  const types = ["text/html", "image/svg+xml", "application/xhtml+xml", "text/JavaScript", "x", 7];
  for (const mimeType of types) {
    const [file] = files([{ type: "resource", resource: { uri: "a:b", mimeType, text: "x" } }]);
    expect(file?.body).toHaveProperty("type", "application/octet-stream");
  }
  const odd = [null, "x", {}, { type: "resource" }, { type: "resource", resource: { blob: "*" } }];
  expect(files(odd)).toEqual([]);
  const [link] = files([{ type: "resource_link", uri: "javascript:alert(1)", name: "x" }]);
  expect(link?.body).toEqual({ uri: "javascript:alert(1)" });
});
