export const POST = async ({ request }) => Response.json(Object.fromEntries(await request.formData()));
