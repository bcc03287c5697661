// Asks as one of the tests wants, and prints what came of it: ask.js WHAT BASE_URL KEY RETRIES SECONDS
import OpenAI, { toFile } from "openai";

const [what, baseURL, apiKey, retries, seconds] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: Number(retries) });
// Told with each request, since this client does not send the timeout that it was made with.
const options = { timeout: Number(seconds) * 1000 };
const messages = [{ role: "user", content: "hi" }];
const model = "chat";
const found = { said: "", usage: [] };

async function stream(more) {
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true, ...more }, options)) {
    found.said += chunk.choices[0]?.delta?.content ?? "";
    if (chunk.usage) found.usage.push(chunk.usage.total_tokens);
    if (what === "leave" && found.said) break;
  }
}

const asks = {
  async chat() {
    const answer = await client.chat.completions.create({ model, messages }, options);
    found.said = answer.choices[0].message.content;
    found.usage.push(answer.usage.total_tokens);
  },
  stream: () => stream({}),
  streamUsage: () => stream({ stream_options: { include_usage: true } }),
  leave: () => stream({}),
  async completions() {
    const answer = await client.completions.create({ model, prompt: "hi" });
    found.said = answer.choices[0].text;
    found.usage.push(answer.usage.total_tokens);
  },
  async embeddings() {
    const answer = await client.embeddings.create({ model, input: "hi" });
    found.said = JSON.stringify(answer.data[0].embedding);
    found.usage.push(answer.usage.total_tokens);
  },
  async responses() {
    const answer = await client.responses.create({ model, input: "hi" });
    found.said = answer.output_text;
    found.usage.push(answer.usage.total_tokens);
  },
  async responsesStream() {
    for await (const event of await client.responses.create({ model, input: "hi", stream: true })) {
      if (event.type === "response.output_text.delta") found.said += event.delta;
      if (event.type === "response.completed") found.usage.push(event.response.usage.total_tokens);
    }
  },
  async transcription() {
    const file = await toFile(Buffer.from("RIFF-some-sound"), "a.wav");
    found.said = (await client.audio.transcriptions.create({ model, file })).text;
  },
  async models() {
    found.said = (await client.models.list()).data.map((each) => each.id).join(" ");
  },
  unknown: () => client.chat.completions.create({ model: "chatt", messages }),
};

try {
  await asks[what]();
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  const text = (value) => (value === undefined || value === null ? "" : String(value));
  const wait = error.headers?.get("retry-after");
  const told = { status: error.status ?? 0, code: text(error.code), type: text(error.type), message: error.message };
  found.raised = { ...told, param: text(error.param), wait: text(wait) };
}
console.log(JSON.stringify(found));
process.exit(0);
