export default defineEventHandler(() => {
  throw new Error("thrown for a test");
});
