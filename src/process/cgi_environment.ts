/**
 * What a web server has put into the environment for CGI.
 *
 * @module
 */
import process from "node:process";
import { describeDescriptor } from "../runtime/descriptor.ts";

/** Whether this process was started for one request, by CGI. */
export function isCgi(): boolean {
  return !describeDescriptor(0).listening && !!process.env.GATEWAY_INTERFACE?.startsWith("CGI/") && !!process.env.REQUEST_METHOD;
}

/** A visitor's header `Proxy`, taken out of the environment. */
export let proxyHeader: string | undefined;

/**
 * Removes HTTP_PROXY from the environment of a process that a web server started. CGI turns a visitor's header `Proxy` into
 * this variable, which names the proxy for outgoing requests elsewhere (CVE-2016-5385).
 */
export function forgetProxy(): void {
  const { GATEWAY_INTERFACE, REQUEST_METHOD, HTTP_PROXY } = process.env;
  if (HTTP_PROXY === undefined) return;
  if (GATEWAY_INTERFACE === undefined && REQUEST_METHOD === undefined && !describeDescriptor(0).listening) return;
  proxyHeader = HTTP_PROXY;
  delete process.env.HTTP_PROXY;
}
