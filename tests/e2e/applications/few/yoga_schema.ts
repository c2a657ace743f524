/** GraphQL with a query, an upload and events. */
import { createSchema, createYoga } from "graphql-yoga";
import { described } from "./routes.ts";

export const yoga = createYoga({
  logging: false,
  schema: createSchema({
    typeDefs: `
      scalar File
      type Query { hello(name: String): String, fail: String, visits: Int }
      type Mutation { upload(title: String!, file: File!): String }
      type Subscription { count(to: Int!): Int! }
    `,
    resolvers: {
      Query: {
        hello: (_, { name }) => `Hello ${name}`,
        fail() {
          throw new Error("thrown for a test");
        },
      },
      Mutation: { upload: async (_, { title, file }) => JSON.stringify(await described(title, file)) },
      Subscription: {
        count: {
          async *subscribe(_, { to }) {
            for (let count = 1; count <= to; count++) yield { count };
          },
        },
      },
    },
  }),
});
