import assert from "node:assert/strict";
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { makePrivateFolder } from "../../src/runtime/private_folder.ts";
import { folder } from "../support/peer.ts";

describe("a private folder", () => {
  test("is made once, and used again", () => {
    using place = folder();
    makePrivateFolder(place.join("own"));
    makePrivateFolder(place.join("own"));
    assert.equal(statSync(place.join("own")).mode & 0o777, 0o700);
  });

  test("is not one that others may enter or write to, a link, or a file", () => {
    using place = folder();
    mkdirSync(place.join("open"));
    chmodSync(place.join("open"), 0o711);
    makePrivateFolder(place.join("open"), 0o711);
    assert.throws(() => makePrivateFolder(place.join("open")), /is not this user's alone/);
    chmodSync(place.join("open"), 0o733);
    assert.throws(() => makePrivateFolder(place.join("open"), 0o711), /is not this user's alone/);
    makePrivateFolder(place.join("own"));
    symlinkSync(place.join("own"), place.join("link"));
    writeFileSync(place.join("file"), "");
    for (const name of ["link", "file"]) {
      assert.throws(() => makePrivateFolder(place.join(name), 0o777), /is not this user's alone/);
    }
  });

  test("is not made where the one around it is missing", () => {
    for (const path of ["/proc/nowhere/own", "/proc/own"]) {
      assert.throws(() => makePrivateFolder(path), { code: "ENOENT" });
    }
  });
});
