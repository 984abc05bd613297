// Lines that send a first request through modash, for the usual clients and servers.

export interface Snippet {
  name: string;
  /** The setting of modash that it needs; null: any upstream will do. */
  upstream: string | null;
  /** Where the line goes. */
  where: string;
  code: string;
}

const chat = (base: string) =>
  `curl ${base}/v1/chat/completions -H 'content-type: application/json' -d '{"model":"your-model","messages":[{"role":"user","content":"Hello"}]}'`;

/** For a proxy at `base`, such as `http://localhost:4005`. */
export const snippets = (base: string): Snippet[] => [
  { name: "curl", upstream: null, where: "In a shell", code: chat(base) },
  {
    name: "OpenAI, Python",
    upstream: "https://api.openai.com",
    where: "In the application",
    code: `from openai import OpenAI\nclient = OpenAI(base_url="${base}/v1")`,
  },
  {
    name: "OpenAI, JavaScript",
    upstream: "https://api.openai.com",
    where: "In the application",
    code: `import OpenAI from "openai";\nconst client = new OpenAI({ baseURL: "${base}/v1" });`,
  },
  {
    name: "Anthropic, Python",
    upstream: "https://api.anthropic.com",
    where: "In the application",
    code: `from anthropic import Anthropic\nclient = Anthropic(base_url="${base}")`,
  },
  {
    name: "Anthropic, JavaScript",
    upstream: "https://api.anthropic.com",
    where: "In the application",
    code: `import Anthropic from "@anthropic-ai/sdk";\nconst client = new Anthropic({ baseURL: "${base}" });`,
  },
  {
    name: "Claude Code",
    upstream: "https://api.anthropic.com",
    where: "In a shell",
    code: `ANTHROPIC_BASE_URL=${base} claude`,
  },
  {
    name: "Codex",
    upstream: "https://api.openai.com",
    where: "In ~/.codex/config.toml",
    code: `model_provider = "modash"

[model_providers.modash]
name = "OpenAI through modash"
base_url = "${base}/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
supports_websockets = false`,
  },
  { name: "LM Studio", upstream: "http://127.0.0.1:1234", where: "In a shell", code: chat(base) },
  {
    name: "Ollama",
    upstream: "http://127.0.0.1:11434",
    where: "In a shell",
    code: `OLLAMA_HOST=${base} ollama run your-model`,
  },
  { name: "llama.cpp", upstream: "http://127.0.0.1:8080", where: "In a shell", code: chat(base) },
  { name: "vLLM", upstream: "http://127.0.0.1:8000", where: "In a shell", code: chat(base) },
];
