export const action = async ({ request }) => Response.json(Object.fromEntries(await request.formData()));
