import { index, route } from "@react-router/dev/routes";

export default [
  index("routes/home.jsx"),
  ...["visits", "form", "upload", "old", "throw", "events"].map((name) => route(name, `routes/${name}.js`)),
];
