# What is tested of every program, written with Sinatra.
require "json"
require "sinatra/base"

class Site < Sinatra::Base
  set :environment, :production
  set :waiting, {}

  get("/") { "<h1>Hello</h1>" }

  get "/visits" do
    visits = (request.cookies["visits"].to_i + 1).to_s
    response.set_cookie("visits", visits)
    visits
  end

  post("/form") { request.POST.to_json }

  post "/upload" do
    file = params["file"]
    content = file["tempfile"].read
    { title: params["title"], name: file["filename"], size: content.bytesize, last: content.getbyte(-1) }.to_json
  end

  get("/old") { redirect "/new?a=1" }

  get("/throw") { raise "raised for a test" }

  get "/events" do
    if params["seen"]
      settings.waiting[params["seen"]] << true
      return "seen"
    end
    queue = settings.waiting[params["id"]] = Queue.new
    content_type "text/event-stream"
    body(Enumerator.new do |out|
      out << "data: first\n\n"
      queue.pop
      out << "data: second\n\n"
    end)
  end
end

mount = ENV["SITE_BASE"].to_s
map(mount.empty? ? "/" : mount) { run Site }
