// Made-up sessions of agents: turns with a context that grows and is cached, tools that run in
// between, sub-agents side by side, retries after errors, and a switch of the model.
import { costOf, plan, random, uuid } from "./fake-requests.mjs";

const between = (low, high) => low + random() * (high - low);

/** One request of a session, of a plan for any model. */
function turn(session, startedAt, { model, prompt, cached, completion, fails = false }) {
  const firstToken = 300 + ((prompt - cached) / 9_000) * 1e3 * between(0.8, 1.3);
  const event = {
    ...plan(startedAt),
    eventId: uuid(startedAt),
    session,
    upstream: "claude",
    dialect: "anthropic-messages",
    operation: "OPERATION_CHAT",
    path: "/claude/v1/messages",
    userAgentFamily: "claude-cli",
    clientKey: "9f2c41aa07be6d13",
    user: "ada",
    model,
    modelRequested: model,
    stream: true,
    outcome: fails ? "OUTCOME_HTTP_ERROR" : "OUTCOME_OK",
    status: fails ? 529 : 200,
    errorType: fails ? "overloaded_error" : null,
    usageSource: fails ? "USAGE_SOURCE_NOT_REPORTED" : "USAGE_SOURCE_UPSTREAM",
    promptTokens: fails ? null : prompt,
    cachedPromptTokens: fails ? null : cached,
    completionTokens: fails ? null : completion,
    totalTokens: fails ? null : prompt + completion,
    firstToken: fails ? null : firstToken,
    duration: fails ? between(80, 400) : firstToken + (completion / 62) * 1e3,
  };
  return { ...event, lastToken: event.firstToken && event.duration - 2, cost: costOf(event) };
}

/** An agent of so many turns, whose first request starts at `at`; its sub-agents run side by side. */
export function agent(session, at, turns) {
  const events = [];
  const run = (from, context, model, length) => {
    let now = from;
    let prompt = context;
    for (let n = 0; n < length; n += 1) {
      const completion = Math.round(between(60, 900));
      const cached = n === 0 ? 0 : Math.round(prompt * between(0.86, 0.97));
      const request = { model: n > length * 0.7 ? model.later : model.first, prompt, cached, completion };
      if (random() < 0.03) {
        const failed = turn(session, now, { ...request, fails: true });
        events.push(failed);
        now += failed.duration + between(600, 3_000);
      }
      const event = turn(session, now, request);
      events.push(event);
      now += event.duration + between(150, 6_000);
      prompt += completion + Math.round(between(200, 2_600));
      // A compaction.
      if (prompt > 150_000) prompt = 28_000;
      if (length > 20 && n % 30 === 14) {
        const small = { first: "claude-haiku-4-5", later: "claude-haiku-4-5" };
        now = Math.max(run(now, 3_000, small, 8), run(now + 200, 5_000, small, 11)) + 400;
      }
    }
    return now;
  };
  run(at, 14_000, { first: "claude-sonnet-4-5", later: "gpt-5-mini" }, turns);
  return events.sort((a, b) => a.startedAt - b.startedAt);
}
