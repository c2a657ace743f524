/**
 * Kubernetes: a Deployment with nginx beside the program, or over HTTP behind an Ingress, and its Service.
 *
 * The program is a sidecar container of nginx: Kubernetes starts it before nginx, and stops it when nginx has finished its
 * requests.
 *
 * @module
 */
import { DEFAULT_GRACE } from "../supervisor/crew.ts";
import {
  check,
  dockerfile,
  flow,
  IMAGE_USER,
  imageNote,
  imageSteps,
  NGINX_PORT,
  nginxFile,
  nginxImage,
  ofTheImage,
  PATIENCE,
  socketOf,
} from "./container.ts";
import { nginx } from "./nginx.ts";
import { type Server, type Site, titleOf } from "./site.ts";
import { type Line, text } from "./text.ts";

/** Seconds in which all that sends requests learns that a pod is ending. */
const UNKNOWN = 5;

export const kubernetes: Server = {
  title: "Kubernetes: a Deployment and a Service, with nginx or behind an Ingress (http)",
  protocols: ["fcgi", "scgi", "uwsgi", "http"],
  refuses: ofTheImage,
  image: true,
  file: "kubernetes.yaml",
  tellsMount: nginx.tellsMount,
  configuration(site) {
    const { name, protocol, words } = site;
    const trust = words.some((word) => word.startsWith("trust=")) ? [] : ["trust=private"];
    const endpoint = protocol === "http" ? ["host=0.0.0.0", `port=${NGINX_PORT}`] : [`socket=${socketOf(site)}`];
    const lines = join([
      ...protocol === "http" ? [] : [configMap(site)],
      deployment(site),
      service(site),
      ...protocol === "http" && site.names.length > 0 ? [ingress(site)] : [],
    ]);
    return {
      title: titleOf(site, protocol === "http" ? "an Ingress of Kubernetes" : "nginx in Kubernetes"),
      steps: [
        ...imageSteps(site),
        ["Build and push", `docker build -t ${name}:1 . (name it as your registry does, here and below)`],
        ["Start", "kubectl apply -f kubernetes.yaml"],
        ["Update", `kubectl set image deployment/${name} ${name}=${name}:2`],
      ],
      notes: [
        imageNote,
        trust.length > 0 &&
        "Private addresses are trusted to report the visitor's: trust=10.1.2.0/24 names those of your Ingress alone.",
      ],
      parts: [["Dockerfile", dockerfile(site, [...trust, ...endpoint])], ["kubernetes.yaml", text(lines)]],
      lines,
    };
  },
};

/** Documents of one file. */
function join(documents: Line[][]): Line[] {
  return documents.flatMap((lines, i) => [i > 0 && "---", ...lines]);
}

const head = (kind: string, version: string, { name }: Site): Line[] => [
  `apiVersion: ${version}`,
  `kind: ${kind}`,
  "metadata:",
  [`name: ${name}`, `labels: { app: ${name} }`],
];

function configMap(site: Site): Line[] {
  return [...head("ConfigMap", "v1", site), "data:", ["default.conf: |", nginxFile(site).trimEnd().split("\n")]];
}

function service(site: Site): Line[] {
  return [
    ...head("Service", "v1", site),
    "spec:",
    [`selector: { app: ${site.name} }`, "ports:", ["- { name: http, port: 80, targetPort: http }"]],
  ];
}

function ingress(site: Site): Line[] {
  const { name, names, mount } = site;
  const path = `{ path: ${mount || "/"}, pathType: Prefix, backend: { service: { name: ${name}, port: { name: http } } } }`;
  return [
    ...head("Ingress", "networking.k8s.io/v1", site),
    "spec:",
    ["rules:", names.flatMap((host) => [`- host: ${JSON.stringify(host)}`, ["http:", ["paths:", [`- ${path}`]]]])],
  ];
}

const confined: Line[] = [
  "securityContext:",
  ["allowPrivilegeEscalation: false", "readOnlyRootFilesystem: true", "capabilities: { drop: [ALL] }"],
];
/** Those who send requests have to learn it first. */
const patient = `lifecycle: { preStop: { sleep: { seconds: ${UNKNOWN} } } }`;
const listens = `ports: [{ name: http, containerPort: ${NGINX_PORT} }]`;

function deployment(site: Site): Line[] {
  const { name, protocol, grace = DEFAULT_GRACE } = site;
  const alone = protocol === "http";
  const asked = check(site, `protocol=${protocol}`, alone ? `port=${NGINX_PORT}` : `socket=${socketOf(site)}`);
  const probe = `exec: { command: ${flow(asked)} }`;
  const program: Line[] = [
    `- name: ${name}`,
    [
      `image: ${name}:1`,
      ...alone
        ? [patient, listens]
        : ["# A sidecar: it starts before nginx, and stops when nginx has stopped.", "restartPolicy: Always"],
      "startupProbe:",
      [probe, "periodSeconds: 1", "timeoutSeconds: 5", "failureThreshold: 60"],
      "readinessProbe:",
      [probe, "periodSeconds: 10", "timeoutSeconds: 5"],
      "resources:",
      ["requests: { cpu: 100m, memory: 128Mi }", "limits: { memory: 512Mi }"],
      ...confined,
      "volumeMounts:",
      ["- { name: tmp, mountPath: /tmp }", !alone && `- { name: run, mountPath: /run/${name} }`],
    ],
  ];
  const front: Line[] = [
    "- name: nginx",
    [
      `image: ${nginxImage}`,
      patient,
      listens,
      "readinessProbe:",
      ["tcpSocket: { port: http }", "periodSeconds: 10"],
      ...confined,
      "volumeMounts:",
      [
        "- { name: nginx-tmp, mountPath: /tmp }",
        `- { name: run, mountPath: /run/${name} }`,
        "- { name: nginx, mountPath: /etc/nginx/conf.d }",
      ],
    ],
  ];
  return [
    ...head("Deployment", "apps/v1", site),
    "spec:",
    [
      "replicas: 2",
      `selector: { matchLabels: { app: ${name} } }`,
      "# A new pod is ready before an old one ends.",
      "strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }",
      "template:",
      [
        `metadata: { labels: { app: ${name} } }`,
        "spec:",
        [
          `terminationGracePeriodSeconds: ${UNKNOWN + grace + PATIENCE}`,
          "automountServiceAccountToken: false",
          "securityContext:",
          [
            "runAsNonRoot: true",
            `runAsUser: ${IMAGE_USER}`,
            `runAsGroup: ${IMAGE_USER}`,
            `fsGroup: ${IMAGE_USER}`,
            "seccompProfile: { type: RuntimeDefault }",
          ],
          ...alone ? ["containers:", program] : ["initContainers:", program, "containers:", front],
          "volumes:",
          [
            "- { name: tmp, emptyDir: {} }",
            ...alone ? [] : [
              "- { name: run, emptyDir: { medium: Memory } }",
              "- { name: nginx-tmp, emptyDir: {} }",
              `- { name: nginx, configMap: { name: ${name} } }`,
            ],
          ],
        ],
      ],
    ],
  ];
}
