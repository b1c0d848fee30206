# gemfile.rb: reads Gemfile and Gemfile.lock of the current folder with Bundler's own parsers and prints shell
# assignments. Ends with status 1 and the reason on standard error.
require 'bundler'
require 'shellwords'

# What `ruby` says is wanted as it is: Bundler's own method refuses forms that are younger than itself.
class GemfileReader < Bundler::Dsl
  attr_reader :ruby_requirements

  def ruby(*versions)
    options = versions.last.is_a?(Hash) ? versions.pop : {}
    file = options[:file]
    versions << File.read(file)[/^\s*(?:ruby[- ])?(\d[\w.]*)/, 1].to_s if file
    @ruby_requirements = versions.flatten.map(&:to_s)
  end
end

def assign(name, value)
  puts "#{name}=#{Shellwords.escape(value.to_s)}"
end

begin
  reader = GemfileReader.new
  reader.eval_gemfile(Pathname('Gemfile'))
rescue Bundler::BundlerError, SystemCallError => error
  abort "There was an error parsing your Gemfile:\n#{error.message}"
end
begin
  lock = Bundler::LockfileParser.new(File.read('Gemfile.lock'))
rescue Bundler::BundlerError, ArgumentError => error
  abort "There was an error parsing your Gemfile.lock:\n#{error.message}"
end
abort "There was an error parsing your Gemfile.lock:\nIt names no platform: run 'bundle lock' to make it anew." if lock.platforms.empty?

stock = Gem::Version.new(RUBY_VERSION)
requirements = reader.ruby_requirements || []
begin
  fits = Gem::Requirement.new(requirements).satisfied_by?(stock)
rescue Gem::Requirement::BadRequirementError
  abort "The Ruby version of the Gemfile is not one: #{requirements.join(', ')}"
end

assign 'stock_version', RUBY_VERSION
assign 'gemfile_ruby', requirements.join(', ')
assign 'locked_ruby', lock.ruby_version.to_s[/ruby (\d+\.\d+\.\d+(?:\.?(?:preview|rc)\d+)?)/, 1]
assign 'stock_fits', fits ? 'yes' : 'no'
assign 'bundled_with', lock.bundler_version
assign 'lock_platforms', lock.platforms.join(' ')
assign 'gem_names', lock.specs.map(&:name).uniq.join("\n")
assign 'railties_version', lock.specs.find { |spec| spec.name == 'railties' }&.version
