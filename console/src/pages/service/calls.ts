/** Calls of a service with a token, to be pasted. */

import type { ServiceDetail } from "@/api/services";

type Called = Pick<ServiceDetail, "endpoint" | "example" | "models">;

export function callsOf(service: Called, token: string): { curl: string; Python: string; JavaScript: string } {
  const base = `${service.endpoint}/v1`;
  const model = service.models[0] ?? "MODEL";
  return {
    curl: service.example.replaceAll("$TOKEN", token),
    Python: `from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(base)}, api_key=${JSON.stringify(token)})
answer = client.chat.completions.create(
    model=${JSON.stringify(model)},
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)`,
    JavaScript: `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(base)}, apiKey: ${JSON.stringify(token)} });
const answer = await client.chat.completions.create({
  model: ${JSON.stringify(model)},
  messages: [{ role: "user", content: "Hello" }],
});
console.log(answer.choices[0].message.content);`,
  };
}
