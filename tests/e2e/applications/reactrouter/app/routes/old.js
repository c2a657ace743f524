import { redirect } from "react-router";

export const loader = () => redirect("/new?a=1", 302);
