export const load = ({ url }) => ({ name: url.searchParams.get("name") ?? "nobody" });

export const actions = {
  async default({ request }) {
    const data = await request.formData();
    return { greeted: data.get("name") };
  },
};
