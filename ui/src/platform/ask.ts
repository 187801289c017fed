import type { Response } from "../api/types";
import { Refusal, type Platform, type WorkerRequest } from "./platform";

type Body<K extends Response["response"]> =
  Extract<Response, { response: K }> extends { body: infer B } ? B : undefined;

/** The worker's answer to a request. Throws a {@link Refusal} if it is of another kind than expected. */
export async function ask<K extends Exclude<Response["response"], "refused">>(
  platform: Platform,
  request: WorkerRequest,
  kind: K,
): Promise<Body<K>> {
  const response = await platform.worker(request);
  if (response.response === "refused") throw new Refusal(response.body);
  if (response.response !== kind) {
    throw new Refusal({ field: null, message: `the worker answered ${response.response} where ${kind} was expected` });
  }
  return ("body" in response ? response.body : undefined) as Body<K>;
}
