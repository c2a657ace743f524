/** What `config kubernetes` prints, checked by the schemas of Kubernetes, and the file of `config container`. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { installValidators, tools } from "../../scripts/tools.ts";
import { configText } from "../../src/config/servers.ts";
import { cleanUp, site } from "../support/cli.ts";
import { complaintsAbout, needs } from "../support/servers.ts";

const { node, tsc } = tools();
cleanUp();

/** Reads YAML and prints its documents as JSON, once each has passed the schema of its kind. */
const check = `import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { Deployment } from "kubernetes-models/apps/v1";
import { Ingress } from "kubernetes-models/networking.k8s.io/v1";
import { ConfigMap, Service } from "kubernetes-models/v1";
const documents = parseAllDocuments(readFileSync(0, "utf8")).map((document) => {
  if (document.errors.length > 0) throw document.errors[0];
  return document.toJS();
});
const kinds = { ConfigMap, Deployment, Ingress, Service };
for (const document of documents) new kinds[document.kind](document).validate();
console.log(JSON.stringify(documents));
`;

const types = `import type { IDeployment as Deployment } from "kubernetes-models/apps/v1/Deployment";
import type { IIngress as Ingress } from "kubernetes-models/networking.k8s.io/v1/Ingress";
import type { IConfigMap as ConfigMap } from "kubernetes-models/v1/ConfigMap";
import type { IService as Service } from "kubernetes-models/v1/Service";
`;

interface Container {
  name: string;
  restartPolicy?: string;
  lifecycle?: { preStop: { sleep: { seconds: number } } };
  securityContext: object;
  startupProbe?: { exec: { command: string[] } };
  readinessProbe: { exec?: { command: string[] } };
}
interface Document {
  kind: string;
  data?: Record<string, string>;
  spec?: {
    rules?: { host: string }[];
    template?: {
      spec: {
        initContainers?: Container[];
        containers: Container[];
        terminationGracePeriodSeconds: number;
        securityContext: Record<string, unknown>;
      };
    };
  };
}

/** The documents of a text, which may have nothing in it that Kubernetes does not know. */
function checked(text: string): Document[] {
  const tools = installValidators();
  const options = { cwd: tools, input: text, encoding: "utf8" } as const;
  const { status, stdout, stderr } = spawnSync(node, ["--input-type=module", "-e", check], options);
  if (status !== 0) throw new Error(stderr);
  // The schemas let pass what they do not know, and the types do not.
  const file = join(site(), "documents.ts");
  const documents: Document[] = JSON.parse(stdout);
  const lines = documents.map((document, i) => `const document${i}: ${document.kind} = ${JSON.stringify(document)};`);
  writeFileSync(
    file,
    `${types}${lines.join("\n")}\n`.replaceAll("kubernetes-models", join(tools, "node_modules/kubernetes-models")),
  );
  const typed = spawnSync(tsc, ["--noEmit", "--skipLibCheck", "--module", "nodenext", "--types", "", file], { encoding: "utf8" });
  if (typed.status !== 0) throw new Error(typed.stdout);
  return documents;
}

/** Reads YAML. */
const read = `import { readFileSync } from "node:fs";
import { parse } from "yaml";
console.log(JSON.stringify(parse(readFileSync(0, "utf8"))));
`;

const podOf = (documents: Document[]) => documents.find(({ kind }) => kind === "Deployment")!.spec!.template!.spec;
const confined = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};

test("what is printed for Docker Compose gives nobody rights", () => {
  const text = configText(["container", "grace=50"]).split("\n# compose.yaml\n")[1];
  const options = { cwd: installValidators(), input: text, encoding: "utf8" } as const;
  const { stdout, stderr } = spawnSync(node, ["--input-type=module", "-e", read], options);
  assert.equal(stderr, "");
  const { services: { mysite, nginx }, volumes } = JSON.parse(stdout);
  for (const { user, read_only, tmpfs, cap_drop, security_opt } of [mysite, nginx]) {
    assert.deepEqual({ user, read_only, tmpfs, cap_drop, security_opt }, {
      user: "10001:10001",
      read_only: true,
      tmpfs: ["/tmp"],
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges:true"],
    });
  }
  assert.equal(mysite.stop_grace_period, "60s");
  assert.deepEqual(mysite.healthcheck.test.slice(0, 3), ["CMD", "/usr/bin/runfcgi", "get"]);
  assert.deepEqual(nginx.depends_on, { mysite: { condition: "service_healthy" } });
  assert.deepEqual(Object.keys(volumes), ["run"]);
  for (const { volumes } of [mysite, nginx]) assert.equal(volumes[0], "run:/run/mysite");
});

const compose = "/usr/bin/docker-compose";
test(
  "what is printed for Docker Compose is what it reads",
  { skip: !existsSync(compose) && `${compose} is not installed` },
  () => {
    const text = configText(["container"]).split("\n# compose.yaml\n")[1];
    const cwd = site({ Dockerfile: "" });
    const check = (yaml: string) => {
      writeFileSync(join(cwd, "compose.yaml"), yaml);
      const { status, stderr } = spawnSync(compose, ["--file", "compose.yaml", "config", "--quiet"], { cwd, encoding: "utf8" });
      return { status, stderr };
    };
    // Version 1 knows all but this, which came later.
    assert.deepEqual(check(text.replace(/^ *start_interval: 1s\n/m, "")), { status: 0, stderr: "" });
    assert.match(check(text).stderr, /start_interval|^$/);
    assert.notEqual(check(text.replace("read_only: true", "read_only: perhaps")).status, 0);
  },
);

describe("what is printed for Kubernetes", () => {
  test("would be refused with a mistake in it", () => {
    const text = configText(["kubernetes"]);
    assert.throws(() => checked(text.replace("replicas: 2", "replicas: two")), /replicas/);
    assert.throws(() => checked(text.replace("periodSeconds: 10", "periodSecond: 10")), /periodSecond/);
  });

  test("has nginx and the program in a pod, of which nginx ends first", () => {
    const documents = checked(configText(["kubernetes", "grace=50", "upload=30m", "servername=example.org", "ping=/alive"]));
    assert.deepEqual(documents.map(({ kind }) => kind), ["ConfigMap", "Deployment", "Service"]);
    const pod = podOf(documents);
    const [program, ...others] = pod.initContainers!;
    assert.equal(others.length, 0);
    // Kubernetes ends such a container when those that follow it have ended.
    assert.deepEqual([program.name, program.restartPolicy], ["mysite", "Always"]);
    const command = ["get", "timeout=4", "protocol=fcgi", "socket=/run/mysite/mysite.sock", "/alive"];
    for (const probe of [program.startupProbe!, program.readinessProbe]) {
      assert.deepEqual(probe.exec!.command, ["/usr/bin/runfcgi", ...command]);
    }
    const [nginx] = pod.containers;
    assert.equal(nginx.name, "nginx");
    assert.ok(nginx.lifecycle!.preStop.sleep.seconds + 50 < pod.terminationGracePeriodSeconds);
    for (const { securityContext } of [program, nginx]) assert.deepEqual(securityContext, confined);
    assert.equal(pod.securityContext.runAsNonRoot, true);
  });

  test("has the program alone behind an Ingress over HTTP", () => {
    const names = ["example.org", "*.example.org"];
    const documents = checked(
      configText(["kubernetes", "protocol=http", `servername=${names}`, "scriptname=/shop", "name=shop"]),
    );
    assert.deepEqual(documents.map(({ kind }) => kind), ["Deployment", "Service", "Ingress"]);
    assert.deepEqual(documents[2].spec!.rules!.map(({ host }) => host), names);
    const pod = podOf(documents);
    assert.equal(pod.initContainers, undefined);
    const [{ lifecycle, readinessProbe, securityContext }] = pod.containers;
    assert.ok(lifecycle!.preStop.sleep.seconds + 30 < pod.terminationGracePeriodSeconds);
    assert.deepEqual(readinessProbe.exec!.command.slice(1), ["get", "timeout=4", "protocol=http", "port=8080", "/shop/ping"]);
    assert.deepEqual(securityContext, confined);
  });

  test("has configurations that nginx takes", { skip: needs("nginx") }, () => {
    const words = ["scriptname=/shop", "upload=30m"];
    const all = [["keepalive=8"], ["protocol=scgi"], ["protocol=uwsgi"]].map((more) =>
      configText(["kubernetes", ...words, ...more])
    );
    const maps = checked(all.join("---\n")).filter(({ kind }) => kind === "ConfigMap");
    assert.equal(maps.length, all.length);
    for (const { data } of maps) assert.equal(complaintsAbout("nginx", { folder: site(), port: 0 }, data!["default.conf"]), "");
  });
});
