/** Nest with the packages of Deno's cache. */
import "reflect-metadata";
import { Controller, Get, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
// Nest imports its driver by its name, and Deno knows only packages that something imports.
import "@nestjs/platform-express";

@Controller()
class AppController {
  @Get()
  page() {
    return "<h1>Hello</h1>";
  }
}

@Module({ controllers: [AppController] })
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ["error"] });
await app.listen(3000);
