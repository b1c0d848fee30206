# Makes gems, and the index of a gem server, as a folder that any web server can serve.
#
# gems.rb DIRECTORY own NAME VERSION CODE             a gem of one file; its executable NAME calls main
# gems.rb DIRECTORY native NAME VERSION NUMBER        a gem with an extension in C, whose `answer` is that number
# gems.rb DIRECTORY bundler VERSION                   the installed Bundler under another version
# gems.rb DIRECTORY index
require 'fileutils'
require 'rubygems/package'
require 'tmpdir'

def build(directory, files, name, version, **attributes)
  Dir.mktmpdir do |work|
    files.each do |path, content|
      FileUtils.mkdir_p(File.dirname("#{work}/#{path}"))
      File.write("#{work}/#{path}", content)
      File.chmod(0o755, "#{work}/#{path}")
    end
    spec = Gem::Specification.new do |s|
      s.name = name
      s.version = version
      s.summary = 'Made by a test'
      s.authors = ['test']
      s.files = files.keys
      s.bindir = 'exe'
      attributes.each { |key, value| s.public_send("#{key}=", value) }
    end
    FileUtils.mkdir_p("#{directory}/gems")
    Dir.chdir(work) { Gem::Package.build(spec, true, false, "#{directory}/gems/#{name}-#{version}.gem") }
  end
end

directory, kind, *rest = ARGV
case kind
when 'own'
  name, version, code = rest
  files = { "lib/#{name}.rb" => code, "exe/#{name}" => "#!/usr/bin/env ruby\nrequire '#{name}'\nmain\n" }
  build(directory, files, name, version, executables: [name])
when 'native'
  name, version, number = rest
  source = <<~C
    #include <ruby.h>
    static VALUE answer(VALUE self) { return INT2FIX(#{number}); }
    void Init_#{name}(void) { rb_define_global_function("answer", answer, 0); }
  C
  files = { "ext/#{name}/extconf.rb" => "require 'mkmf'\ncreate_makefile('#{name}')\n", "ext/#{name}/#{name}.c" => source }
  build(directory, files, name, version, extensions: ["ext/#{name}/extconf.rb"])
when 'bundler'
  version = rest.first
  spec = Gem::Specification.find_by_name('bundler')
  files = Dir.chdir(spec.gem_dir) do
    Dir['{lib,exe}/**/*'].select { |file| File.file?(file) }.to_h { |file| [file, File.read(file)] }
  end
  files['lib/bundler/version.rb'] = files.fetch('lib/bundler/version.rb').sub(/VERSION = "[^"]+"/, "VERSION = \"#{version}\"")
  build(directory, files, 'bundler', version, executables: %w[bundle bundler])
when 'index'
  Gem::DefaultUserInteraction.use_ui(Gem::SilentUI.new) { require 'rubygems/indexer'; Gem::Indexer.new(directory).generate_index }
end
