// Drives the server at argv[2] with LM Studio's JavaScript SDK and prints what it saw, one JSON line a scenario.
import { Chat, LMStudioClient, tool } from "@lmstudio/sdk";
import { z } from "zod";

const client = new LMStudioClient({ baseUrl: process.argv[2] });
const say = (name, value) => console.log(JSON.stringify({ name, value }));
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const model = await client.llm.model("emulator/chat");

const progress = [];
let joined = "";
const prediction = model.respond("Hello", { onPromptProcessingProgress: (value) => progress.push(value) });
for await (const fragment of prediction) joined += fragment.content;
const result = await prediction.result();
say("respond", { progress, joined, content: result.content, stats: result.stats, identifier: result.modelInfo.identifier });

const reasoned = await model.respond("Why?");
say("reasoning", { content: reasoned.nonReasoningContent, reasoning: reasoned.reasoningContent });

say("tokens", { ids: await model.tokenize("hello world"), count: await model.countTokens("hello world") });
say("template", await model.applyPromptTemplate(Chat.from([{ role: "user", content: "hi" }])));
say("context", await model.getContextLength());
say("downloaded", (await client.system.listDownloadedModels()).map((info) => info.modelKey));
say("loaded", (await client.llm.listLoaded()).map((handle) => handle.identifier));

const embedder = await client.embedding.model("emulator/embedding");
say("embedding", (await embedder.embed("a")).embedding.length);
say("embeddings", (await embedder.embed(["a", "b"])).map((one) => one.embedding.length));

const loads = [];
const another = await client.llm.load("emulator/chat-2", {
  identifier: "mine", ttl: 60, config: { contextLength: 2048 }, verbose: false, onProgress: (value) => loads.push(value),
});
say("load", { identifier: another.identifier, context: await another.getContextLength(), loads });
await another.unload();

say("complete", (await model.complete("Once upon")).content);

const Joke = z.object({ setup: z.string(), punchline: z.string() });
say("structured", (await model.respond("joke", { structured: Joke })).parsed);

const messages = [];
const add = tool({
  name: "add", description: "Add two numbers.", parameters: { a: z.number(), b: z.number() },
  implementation: ({ a, b }) => a + b,
});
await model.act("Use add(3, 4).", [add], { onMessage: (message) => messages.push(message.getRole()), maxPredictionRounds: 2 });
say("act", messages);

const image = await client.files.prepareImageBase64("pixel.png", PIXEL);
say("image", (await model.respond([{ role: "user", content: "what", images: [image] }])).stats.stopReason);

const endless = model.respond("count");
for await (const _ of endless) { endless.cancel(); break; }
say("cancel", (await endless.result()).stats.stopReason);

try { await client.llm.model("nope"); } catch (error) { say("notFound", error.message); }
process.exit(0);
