# frozen_string_literal: true

# What the scripts beside this file share: from the published formats of a recording to an archive that the
# balancer has. Runs on a BigBlueButton server, with nothing but Ruby's standard library, tar, and rsync where
# rsync is asked for.

require 'base64'
require 'digest'
require 'fileutils'
require 'json'
require 'logger'
require 'net/http'
require 'open3'
require 'openssl'
require 'time'
require 'uri'
require 'yaml'

module SlRecordings
  # Something is set wrong, or cannot be done: told in one line.
  class Error < StandardError; end

  # Trying again later may help.
  class Passing < Error; end

  RECORD_ID = /\A[A-Za-z0-9_-]{1,128}\z/.freeze

  # The settings: sl.yml, see there.
  class Config
    PATHS = [
      '/etc/bigbluebutton/sl.yml',
      '/usr/local/bigbluebutton/core/scripts/scalelite.yml'
    ].freeze
    BBB_WEB = [
      '/etc/bigbluebutton/bbb-web.properties',
      '/usr/share/bbb-web/WEB-INF/classes/bigbluebutton.properties'
    ].freeze
    DEFAULTS = {
      'url' => nil, 'secret' => nil, 'ca_file' => nil, 'chunk_size' => 0, 'attempts' => 10, 'wait' => 5,
      'spool_dir' => nil, 'extra_rsync_opts' => [],
      'published_dir' => '/var/bigbluebutton/published',
      'work_dir' => '/var/bigbluebutton/recording/sl',
      'log_file' => '/var/log/bigbluebutton/post_publish.log',
      'prune_after_days' => 14, 'delete_command' => ['bbb-record', '--delete']
    }.freeze

    def self.load(path = ENV['SL_RECORDINGS_CONFIG'])
      path ||= PATHS.find { |candidate| File.exist?(candidate) }
      raise Error, "no settings: there is none of #{PATHS.join(', ')}" unless path

      values = YAML.safe_load(File.read(path)) || {}
      raise Error, "#{path} must be a list of settings, name: value" unless values.is_a?(Hash)

      new(values, path)
    rescue SystemCallError, Psych::Exception => e
      raise Error, "cannot read #{path}: #{e.message}"
    end

    def initialize(values, path)
      @path = path
      unknown = values.keys - DEFAULTS.keys
      warn "#{path}: unknown settings: #{unknown.join(', ')}" unless unknown.empty?
      @values = DEFAULTS.merge(values)
      return if [self['url'], self['spool_dir']].compact.size == 1

      raise Error, "#{path} must have either url or spool_dir"
    end

    def [](name)
      @values.fetch(name)
    end

    def number(name)
      value = self[name]
      return value if value.is_a?(Numeric) && !value.negative?

      raise Error, "#{@path}: #{name} must be a number, 0 or more"
    end

    # The secret by which the balancer knows this server.
    def secret
      return self['secret'] if self['secret']

      lines = BBB_WEB.select { |file| File.readable?(file) }.flat_map { |file| File.readlines(file) }
      salt = lines.map { |line| line[/\A\s*securitySalt\s*=\s*(\S+)/, 1] }.compact.first
      salt || raise(Error, "#{@path}: no secret, and none in #{BBB_WEB.join(', ')}")
    end

    def sender
      return Upload.new(self) if self['url']
      return Rsync.new(self) if self['spool_dir'].include?(':')

      Directory.new(self)
    end

    def logger
      target = self['log_file']
      Logger.new(target == '-' ? $stdout : target)
    rescue SystemCallError
      Logger.new($stderr)
    end
  end

  # Into a directory of this machine: a shared file system.
  class Directory
    def initialize(config)
      @spool = config['spool_dir']
    end

    # The archive is seen when it is whole, and only then.
    def deliver(archive, id)
      raise Passing, "#{@spool} is no directory: is it mounted?" unless File.directory?(@spool)

      hidden = File.join(@spool, ".#{id}.tar.#{Process.pid}.copy")
      begin
        FileUtils.cp(archive, hidden)
        File.open(hidden, 'r+', &:fsync)
        File.rename(hidden, File.join(@spool, "#{id}.tar"))
      ensure
        FileUtils.rm_f(hidden)
      end
    rescue SystemCallError => e
      raise Passing, e.message
    end

    # Whether the balancer has taken it in; nil if that cannot be known.
    def imported?(id)
      ['', 'failed'].none? { |place| File.exist?(File.join(@spool, place, "#{id}.tar")) }
    end
  end

  # With rsync, which writes under a hidden name too.
  class Rsync
    def initialize(config)
      @target = config['spool_dir']
      @options = Array(config['extra_rsync_opts'])
    end

    def deliver(archive, id)
      command = ['rsync', '--times', '--partial-dir=.rsync-partial', '--chmod=F0664', *@options, '--',
                 archive, "#{@target.chomp('/')}/#{id}.tar"]
      output, status = Open3.capture2e(*command)
      raise Passing, "rsync: #{output.strip}" unless status.success?
    rescue Errno::ENOENT
      raise Error, 'rsync is not installed'
    end

    def imported?(_id)
      nil
    end
  end

  # Over HTTPS, to PUT /sl/recordings/ID.tar; goes on where it broke off.
  class Upload
    FINAL = %w[400 401 403 404 413].freeze

    def initialize(config)
      @base = URI.parse(config['url'].chomp('/'))
      raise Error, "url must be https://host: #{@base}" unless @base.is_a?(URI::HTTP) && @base.host

      @secret = config.secret
      @ca_file = config['ca_file']
      @chunk = config.number('chunk_size').to_i
      @attempts = [config.number('attempts').to_i, 1].max
      @wait = config.number('wait')
    rescue URI::InvalidURIError
      raise Error, 'url must be https://host'
    end

    def deliver(archive, id)
      digest = Digest::SHA256.file(archive).hexdigest
      failures = 0
      begin
        send_from(archive, id, digest, offset(id, digest), File.size(archive))
      rescue SystemCallError, IOError, SocketError, Timeout::Error, OpenSSL::SSL::SSLError, Net::ProtocolError,
             Passing => e
        failures += 1
        raise Passing, e.message if failures >= @attempts

        sleep(@wait * (2**[failures - 1, 6].min))
        retry
      end
    end

    def imported?(id)
      %w[published unpublished deleted].include?(ask(id)['recording-state'])
    end

    private

    # Bytes that have come of it.
    def offset(id, digest)
      ask(id, digest)['upload-offset'].to_i
    end

    def ask(id, digest = nil)
      response = request(Net::HTTP::Head.new(path(id)), id, digest)
      check(response) { |code| code == '200' }
      response
    end

    def send_from(archive, id, digest, offset, size)
      until offset.nil?
        # Of another file, after all.
        offset = 0 if offset > size
        File.open(archive, 'rb') do |file|
          file.seek(offset)
          length = @chunk.positive? ? [@chunk, size - offset].min : size - offset
          response = put(Part.new(file, length), id, digest, "bytes #{offset}-#{offset + length - 1}/#{size}", length)
          offset = response.code == '201' ? nil : response['upload-offset'].to_i
        end
      end
    end

    def put(part, id, digest, range, length)
      put = Net::HTTP::Put.new(path(id))
      put.body_stream = part
      put['Content-Length'] = length.to_s
      put['Content-Range'] = range
      put['Content-Type'] = 'application/x-tar'
      # What is refused is not sent.
      put['Expect'] = '100-continue'
      response = request(put, id, digest)
      check(response) { |code| %w[201 202].include?(code) }
      response
    end

    def check(response)
      return if yield response.code

      why = begin
        JSON.parse(response.body.to_s)['error']
      rescue JSON::ParserError
        nil
      end
      raise (FINAL.include?(response.code) ? Error : Passing), "#{@base.host} answers #{response.code} #{why}".strip
    end

    def request(request, id, digest)
      request['Authorization'] = "Bearer #{token(id, digest)}"
      request['User-Agent'] = 'sl-recordings'
      http = Net::HTTP.new(@base.host, @base.port)
      if @base.scheme == 'https'
        http.use_ssl = true
        http.ca_file = @ca_file if @ca_file
      end
      http.open_timeout = 10
      # All of it is made safe on disk before the answer comes.
      http.read_timeout = 600
      http.write_timeout = 60
      http.continue_timeout = 10
      http.max_retries = 0
      http.start { |connection| connection.request(request) }
    end

    def path(id)
      "#{@base.path}/sl/recordings/#{id}.tar"
    end

    def token(id, digest)
      claims = { sub: id, exp: Time.now.to_i + 6 * 3600 }
      claims[:sha256] = digest if digest
      signed = [{ alg: 'HS256', typ: 'JWT' }, claims].map { |part| encode(JSON.generate(part)) }.join('.')
      "#{signed}.#{encode(OpenSSL::HMAC.digest('SHA256', @secret, signed))}"
    end

    def encode(bytes)
      Base64.urlsafe_encode64(bytes, padding: false)
    end

    # So many bytes of a file, as Net::HTTP reads a body.
    class Part
      def initialize(file, length)
        @file = file
        @left = length
      end

      def read(length = nil, buffer = nil)
        length = [length || @left, @left].min
        return length.zero? ? nil : '' if @left.zero?

        data = @file.read(length, *buffer)
        raise IOError, 'the archive has become shorter' if data.nil?

        @left -= data.bytesize
        data
      end

      def readpartial(length, buffer = nil)
        read(length, buffer) || raise(EOFError)
      end
    end
  end

  # The recordings of this server.
  class Store
    def initialize(config, sender: config.sender, log: config.logger)
      @config = config
      @sender = sender
      @log = log
      @published = config['published_dir']
      @work = config['work_dir']
      FileUtils.mkdir_p(File.join(@work, 'sent'))
    rescue SystemCallError => e
      raise Error, e.message
    end

    # Record ids of all that are published here, oldest first.
    def all
      found = Dir.glob(File.join(@published, '*', '*', 'metadata.xml')).map { |file| File.basename(File.dirname(file)) }
      found.select { |id| RECORD_ID.match?(id) }.uniq.sort_by { |id| [id[/\d+\z/].to_i, id] }
    end

    def formats(id)
      Dir.glob(File.join(@published, '*', id, 'metadata.xml')).map { |file| file.split('/')[-3] }.sort
    end

    def sent?(id)
      File.exist?(mark(id))
    end

    # Sends all formats that are published by now: whatever came before is replaced as a whole, so it does
    # not matter how often, or in which order. False if there are none.
    def deliver(id)
      raise Error, "this is no record id: #{id.inspect}" unless RECORD_ID.match?(id)

      # Two formats may be published at the same time.
      File.open(File.join(@work, ".lock-#{id.sum % 16}"), File::CREAT | File::RDWR, 0o600) do |lock|
        lock.flock(File::LOCK_EX)
        deliver_locked(id)
      end
    end

    # Ids that were sent so many days ago, and have arrived (`trust`: or may have).
    def prunable(days, trust: false)
      sent = Dir.glob(File.join(@work, 'sent', '*')).select { |file| File.mtime(file) < Time.now - days * 86_400 }
      sent.map { |file| File.basename(file) }.sort.select do |id|
        next false unless RECORD_ID.match?(id)

        arrived = @sender.imported?(id)
        arrived || (arrived.nil? && trust)
      end
    end

    # Deletes what this server has of a recording.
    def prune(id)
      output, status = Open3.capture2e(*Array(@config['delete_command']), id)
      raise Error, "#{Array(@config['delete_command']).first}: #{output.strip}" unless status.success?

      FileUtils.rm_f(mark(id))
      @log.info("sl: #{id} is deleted here; the balancer has it")
    rescue SystemCallError => e
      raise Error, e.message
    end

    private

    def deliver_locked(id)
      names = formats(id)
      if names.empty?
        @log.info("sl: #{id} has no published format, nothing to send")
        return false
      end
      archive = File.join(@work, "#{id}.tar")
      begin
        pack(archive, id, names)
        began = Time.now
        @sender.deliver(archive, id)
        File.write(mark(id), "#{Time.now.utc.iso8601} #{names.join(' ')}\n")
        @log.info("sl: #{id} is sent: #{names.join(', ')}, #{File.size(archive)} bytes in #{(Time.now - began).round(1)} s")
      ensure
        FileUtils.rm_f(archive)
      end
      true
    end

    def pack(archive, id, names)
      paths = names.map { |name| File.join(name, id) }
      output, status = Open3.capture2e('tar', '--create', '--file', archive, '--directory', @published, '--', *paths)
      raise Passing, "tar: #{output.strip}" unless status.success?
    end

    def mark(id)
      File.join(@work, 'sent', id)
    end
  end
end
