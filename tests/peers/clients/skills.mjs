// The TypeScript client's skills: lists them, reads and verifies every file, walks the directories; mode legacy or auto.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { SkillsClient } from "@modelcontextprotocol/client/ext/skills";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { mode, print, refusal, transport } from "./target.mjs";

const client = new Client({ name: "skills", version: "1" }, { versionNegotiation: { mode } });
await client.connect(transport(StreamableHTTPClientTransport, StdioClientTransport));
const skills = new SkillsClient(client);
const listing = await skills.list();
const report = {
  version: client.getNegotiatedProtocolVersion(),
  supported: skills.supported,
  directoryRead: skills.directoryRead,
  hints: [listing.ttlMs ?? null, listing.cacheScope ?? null],
  read: {},
  same: true,
};
for (const entry of listing.skills) {
  const { skill } = await skills.get(entry.uri);
  report.same &&= JSON.stringify(skill) === JSON.stringify(entry);
  let verified = 0;
  for (const file of entry.resources) verified += (await skills.read(entry, file.uri)).verified;
  report.read[entry.uri] = [verified, entry.resources.length];
}
const waiting = ["skill://acme"];
report.walked = 0;
while (waiting.length) {
  for (const child of (await skills.readDirectory(waiting.pop())).resources) {
    if (child.mimeType === "inode/directory") waiting.push(child.uri);
    else report.walked++;
  }
}
report.byPath = (await skills.read(listing.skills[0], "references/07.md")).text;
report.unknown = (await refusal(skills.get("skill://acme/other/SKILL.md"))).code;
report.noDirectory = (await refusal(skills.readDirectory(listing.skills[0].uri))).code;
print(report);
await client.close();
