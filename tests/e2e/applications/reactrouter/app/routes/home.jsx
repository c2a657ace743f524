export const loader = ({ request }) => ({ name: new URL(request.url).searchParams.get("name") });

export default function Home({ loaderData }) {
  return (
    <>
      <h1>Hello</h1>
      <p>{loaderData.name}</p>
    </>
  );
}
