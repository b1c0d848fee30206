# Says hello to whoever asks, and which dyno did.
app = lambda do |env|
  name = Rack::Utils.unescape_path(env['PATH_INFO'].delete_prefix('/'))
  name = ENV.fetch('DYNO', 'no dyno') if name.empty?
  [200, { 'Content-Type' => 'text/plain' }, ["Hello from Rack #{Rack.release} to #{name}\n"]]
end

use Rack::Head
run app
