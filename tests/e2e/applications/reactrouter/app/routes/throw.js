export function loader() {
  throw new Error("thrown for a test");
}
