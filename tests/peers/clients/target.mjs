// Where the server is, from the command line: a URL, or the server's own command as JSON.
// A client prints what came of its calls as one line of JSON; tests/interop/test_clients.py says what should have.

export const [, , where, mode] = process.argv;

export function transport(Http, Stdio) {
  if (where.startsWith("http")) return new Http(new URL(where));
  const [command, ...args] = JSON.parse(where);
  return new Stdio({ command, args, env: process.env, stderr: "inherit" });
}

export const text = (result) => result.content.map((block) => block.text ?? "").join("");

export async function refusal(call) {
  try {
    await call;
  } catch (error) {
    return { code: error.code ?? null, message: error.message };
  }
  return null;
}

export function print(report) {
  console.log(JSON.stringify(report));
}
