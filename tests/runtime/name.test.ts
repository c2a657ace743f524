import assert from "node:assert/strict";
import { test } from "node:test";
import { unsupported } from "../../src/runtime/name.ts";

test("Node before 24.2 is told in one line that it is too old", () => {
  for (const version of ["20.20.2", "22.23.3", "24.1.0"]) {
    assert.equal(unsupported({ name: "Node", version }), `Node ${version} is too old: runfcgi needs Node 24.2 or newer`);
  }
  for (const version of ["24.2.0", "24.21.0", "25.0.0"]) assert.equal(unsupported({ name: "Node", version }), undefined);
  assert.equal(unsupported({ name: "Bun", version: "1.4.5" }), undefined);
  assert.equal(unsupported(), undefined);
});
