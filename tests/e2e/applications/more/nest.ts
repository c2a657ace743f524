/** Nest as its documentation starts it. */
import "reflect-metadata";
import {
  Body,
  Controller,
  Get,
  Injectable,
  Module,
  Post,
  Redirect,
  Req,
  Res,
  UploadedFile,
  UseInterceptors,
} from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { FileInterceptor } from "@nestjs/platform-express";

@Injectable()
class GreetingService {
  greeting() {
    return "<h1>Hello</h1>";
  }
}

@Controller()
class AppController {
  constructor(private readonly service: GreetingService) {}

  @Get()
  page() {
    return this.service.greeting();
  }

  @Get("visits")
  visits(@Req() request: any, @Res({ passthrough: true }) response: any) {
    const visits = Number(/visits=(\d+)/.exec(request.headers.cookie ?? "")?.[1] ?? 0) + 1;
    response.cookie("visits", String(visits));
    return String(visits);
  }

  @Post("form")
  form(@Body() body: Record<string, string>) {
    return body;
  }

  @Post("upload")
  @UseInterceptors(FileInterceptor("file"))
  upload(@UploadedFile() file: any, @Body() body: Record<string, string>) {
    return { title: body.title, name: file.originalname, size: file.size, last: file.buffer.at(-1) };
  }

  @Get("old")
  @Redirect("/new?a=1", 302)
  old() {}

  @Get("throw")
  fail() {
    throw new Error("thrown for a test");
  }
}

@Module({ controllers: [AppController], providers: [GreetingService] })
class AppModule {}

async function bootstrap() {
  const app = await NestFactory.create(AppModule, { logger: ["error"] });
  await app.listen(process.env.PORT ?? 3000);
}
bootstrap();
