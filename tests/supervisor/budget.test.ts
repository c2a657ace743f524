import assert from "node:assert/strict";
import { availableParallelism, totalmem } from "node:os";
import process from "node:process";
import { describe, test } from "node:test";
import { type Budget, budgetRows, findBudget } from "../../src/supervisor/budget.ts";

const MIB = 2 ** 20;
const isRoot = process.getuid?.() === 0;

/** A host that has these files. */
const host = (files: Record<string, string>) => findBudget((file) => files[file]);

const limits = ({ space = "unlimited", processes = "unlimited" }) =>
  `Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max processes             ${processes.padEnd(20)} 127000               processes
Max address space         ${space.padEnd(20)} unlimited            bytes
`;

describe("findBudget()", () => {
  test("takes the machine where nothing limits it", () => {
    for (const budget of [host({}), host({ "/proc/self/limits": limits({}), "/proc/self/cgroup": "0::/" })]) {
      assert.deepEqual(budget.cores, { value: availableParallelism(), from: "processors" });
      assert.deepEqual(budget.memory, { value: totalmem(), from: "memory of the machine" });
      assert.equal(budget.processes, undefined);
      assert.ok(budget.threads >= 1 && budget.threads <= availableParallelism());
      assert.ok(budget.maxChildren >= 1 && budget.maxChildren <= 50);
    }
  });

  test("reads version 2 of cgroups", () => {
    const budget = host({
      "/proc/self/cgroup": "0::/user.slice/site.service",
      "/sys/fs/cgroup/user.slice/site.service/cpu.max": "50000 100000",
      "/sys/fs/cgroup/user.slice/site.service/memory.max": `${256 * MIB}`,
    });
    assert.deepEqual(budget.cores, { value: 0.5, from: "cgroup v2, cpu.max" });
    assert.deepEqual(budget.memory, { value: 256 * MIB, from: "cgroup v2, memory.max" });
    assert.equal(budget.threads, 1);
    assert.ok(budget.maxChildren >= 2 && budget.maxChildren <= 5, `${budget.maxChildren}`);
  });

  test("the narrowest of the groups around a process counts, also where its own has no limit", () => {
    const budget = host({
      "/proc/self/cgroup": "0::/hosting/customer/site",
      "/sys/fs/cgroup/hosting/customer/site/cpu.max": "max 100000",
      "/sys/fs/cgroup/hosting/customer/site/memory.max": "max",
      "/sys/fs/cgroup/hosting/customer/memory.max": `${128 * MIB}`,
      "/sys/fs/cgroup/hosting/cpu.max": "25000 100000",
      "/sys/fs/cgroup/hosting/memory.max": `${300 * MIB}`,
    });
    assert.equal(budget.cores.value, 0.25);
    assert.equal(budget.memory.value, 128 * MIB);
  });

  test("memory.high counts, since above it everything is slow", () => {
    const budget = host({
      "/proc/self/cgroup": "0::/a",
      "/sys/fs/cgroup/a/memory.max": `${256 * MIB}`,
      "/sys/fs/cgroup/a/memory.high": `${200 * MIB}`,
    });
    assert.deepEqual(budget.memory, { value: 200 * MIB, from: "cgroup v2, memory.high" });
  });

  test("reads version 1 of cgroups", () => {
    const budget = host({
      "/proc/self/cgroup": "12:memory:/docker/abc\n5:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/",
      "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": `${512 * MIB}`,
      "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "150000",
      "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000",
    });
    assert.deepEqual(budget.memory, { value: 512 * MIB, from: "cgroup v1, memory.limit_in_bytes" });
    assert.deepEqual(budget.cores, {
      value: Math.min(1.5, availableParallelism()),
      from: availableParallelism() > 1 ? "cgroup v1, cpu.cfs_quota_us" : "processors",
    });
  });

  test("version 1 without limits says so by huge numbers and -1", () => {
    const budget = host({
      "/proc/self/cgroup": "12:memory:/\n5:cpu,cpuacct:/",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
    });
    assert.equal(budget.memory.from, "memory of the machine");
    assert.equal(budget.cores.from, "processors");
  });

  test("a container that is told the path of its host finds its limits at the root", () => {
    const budget = host({
      "/proc/self/cgroup": "0::/system.slice/docker-abc.scope",
      "/sys/fs/cgroup/memory.max": `${100 * MIB}`,
    });
    assert.equal(budget.memory.value, 100 * MIB);
  });

  test("ulimit -v bounds the memory", () => {
    const budget = host({ "/proc/self/limits": limits({ space: `${400 * MIB}` }) });
    assert.deepEqual(budget.memory, { value: 400 * MIB, from: "ulimit -v" });
  });

  test("ulimit -u bounds workers, except those of root", () => {
    const budget = host({ "/proc/self/limits": limits({ processes: "30" }) });
    assert.deepEqual(budget.processes, isRoot ? undefined : { value: 30, from: "ulimit -u" });
    if (!isRoot) assert.ok(budget.maxChildren <= 3, `${budget.maxChildren}`);
  });

  test("the narrowest pids.max of a container bounds workers, those of root, too", () => {
    const two = host({
      "/proc/self/cgroup": "0::/machine/site",
      "/sys/fs/cgroup/machine/pids.max": "40",
      "/sys/fs/cgroup/machine/pids.current": "12",
      "/sys/fs/cgroup/machine/site/pids.max": "max",
    });
    assert.deepEqual(two.processes, { value: 40, inUse: 12, from: "cgroup v2, pids.max" });
    assert.ok(two.maxChildren <= 3, `${two.maxChildren}`);
    const one = host({
      "/proc/self/cgroup": "8:pids:/docker/abc",
      "/sys/fs/cgroup/pids/docker/abc/pids.max": "64",
      "/sys/fs/cgroup/pids/docker/abc/pids.current": "3",
    });
    assert.deepEqual(one.processes, { value: 64, inUse: 3, from: "cgroup v1, pids.max" });
  });

  test("there is always room for one worker", () => {
    const budget = host({ "/proc/self/limits": limits({ space: `${MIB}`, processes: "1" }) });
    assert.deepEqual([budget.threads, budget.maxChildren], [1, 1]);
  });
});

const budgetText = (budget: Budget) => budgetRows(budget).map((row) => row.join(" ")).join("\n");

test("the rows show the limits, where they come from, and what follows", () => {
  const budget = host({
    "/proc/self/cgroup": "0::/site",
    "/sys/fs/cgroup/site/cpu.max": "50000 100000",
    "/sys/fs/cgroup/site/memory.max": `${256 * MIB}`,
  });
  const text = budgetText({ ...budget, processes: { value: 100, from: "ulimit -u" } });
  assert.match(text, /Processors +0\.5 \(cgroup v2, cpu\.max\)/);
  assert.match(text, /Memory +256 MiB \(cgroup v2, memory\.max\)/);
  assert.match(text, /Processes +100 \(ulimit -u; threads count\)/);
  assert.match(text, /threads +1: /);
  assert.match(text, new RegExp(`maxchildren +${budget.maxChildren}: at most 256 MiB × 50 % ÷ \\d+ MiB = \\d+, 100 × 50 % ÷`));
  assert.match(budgetText(budget), /Processes +no limit/);
});
