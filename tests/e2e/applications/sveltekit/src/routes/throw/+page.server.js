export function load() {
  throw new Error("thrown for a test");
}
