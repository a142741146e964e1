# frozen_string_literal: true

# What the scripts beside this file share: from the published formats of a recording to an archive that the
# balancer has. Runs on a BigBlueButton server, with nothing but Ruby's standard library, tar, and rsync where
# rsync is asked for.

require 'base64'
require 'digest'
require 'etc'
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
      'status_dir' => '/var/bigbluebutton/recording/status/published',
      'work_dir' => '/var/bigbluebutton/recording/sl',
      'log_file' => '/var/log/bigbluebutton/post_publish.log',
      'prune_after_days' => 14, 'delete_command' => ['bbb-record', '--delete']
    }.freeze

    def self.load(path = ENV['SL_RECORDINGS_CONFIG'])
      path ||= PATHS.find { |candidate| File.exist?(candidate) }
      raise Error, "no settings: there is none of #{PATHS.join(', ')}" unless path

      values = YAML.safe_load(File.read(path, encoding: 'UTF-8')) || {}
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

      # Welcome texts may be in any language, and cron knows of none.
      lines = BBB_WEB.select { |file| File.readable?(file) }.flat_map { |file| File.binread(file).lines }
      salt = lines.map { |line| line[/\A\s*securitySalt\s*=\s*(\S+)/, 1] }.compact.first
      salt || raise(Error, "#{@path}: no secret, and none in #{BBB_WEB.join(', ')}")
    end

    def sender
      return Upload.new(self) if self['url']
      return Rsync.new(self) if self['spool_dir'].include?(':')

      Directory.new(self)
    end

    # Run as root, a script becomes the user whose recordings these are: what it makes must not stand in the
    # way of BigBlueButton's own runs, which are that user's.
    def become_owner
      owner = owner_to_be
      return unless owner

      Process.initgroups(Etc.getpwuid(owner.uid).name, owner.gid)
      Process::GID.change_privilege(owner.gid)
      Process::UID.change_privilege(owner.uid)
    rescue SystemCallError, ArgumentError => e
      raise Error, e.message
    end

    # The same for what the block does.
    def as_owner
      owner = owner_to_be
      return yield unless owner

      begin
        Process::GID.eid = owner.gid
        Process::UID.eid = owner.uid
        yield
      ensure
        Process::UID.eid = 0
        Process::GID.eid = 0
      end
    rescue SystemCallError => e
      raise Error, e.message
    end

    # Nil unless we are root, and they are somebody else's.
    def owner_to_be
      return unless Process.euid.zero?

      there = File.directory?(self['work_dir'])
      owner = File.stat(there ? self['work_dir'] : self['published_dir'])
      return if owner.uid.zero?

      unless there
        FileUtils.mkdir_p(self['work_dir'])
        File.chown(owner.uid, owner.gid, self['work_dir'])
      end
      owner
    end
    private :owner_to_be

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
    def deliver(archive, id, **)
      raise Passing, "#{@spool} is no directory: is it mounted?" unless File.directory?(@spool)

      # A copy that was cut off goes with the uploads that were: importers clear *.sl-part.
      hidden = File.join(@spool, ".#{id}.copy.sl-part")
      begin
        # Its time is kept: what was deleted after it was packed stays deleted.
        FileUtils.cp(archive, hidden, preserve: true)
        File.open(hidden, 'r+', &:fsync)
        File.rename(hidden, File.join(@spool, "#{id}.tar"))
      ensure
        FileUtils.rm_f(hidden)
      end
    rescue SystemCallError => e
      raise Passing, e.message
    end

    # Nil: that cannot be known. An archive that is gone was imported, or taken away by somebody; and where
    # the spool is not mounted, all are gone.
    def imported?(id)
      return false unless Dir.glob(File.join(@spool, '{,failed/}{,[0-9]*.,.sl-done.}') + "#{id}.tar").empty?

      nil
    end
  end

  # With rsync, which writes under a hidden name too.
  class Rsync
    def initialize(config)
      @target = config['spool_dir']
      @options = Array(config['extra_rsync_opts'])
    end

    def deliver(archive, id, **)
      command = ['rsync', '--times', '--partial-dir=.rsync-partial', '--chmod=F0664', *@options, '--',
                 archive, "#{@target.chomp('/')}/#{id}.tar"]
      output, status = Open3.capture2e(*command)
      raise Passing, "rsync: #{output.scrub.strip}" unless status.success?
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

    def deliver(archive, id, attempts: @attempts)
      digest = Digest::SHA256.file(archive).hexdigest
      @packed = File.mtime(archive).to_i
      failures = 0
      begin
        there = ask(id, digest)
        # Only the last answer was lost.
        return if failures.positive? && there['upload-complete'] == 'yes'

        send_from(archive, id, digest, there['upload-offset'].to_i, File.size(archive))
      rescue Passing
        failures += 1
        raise if failures >= attempts

        sleep(@wait * (2**[failures - 1, 6].min))
        retry
      end
    end

    def imported?(id)
      %w[published unpublished deleted].include?(ask(id)['recording-state'])
    end

    def deleted?(id)
      ask(id)['recording-state'] == 'deleted'
    end

    private

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
          # All of it is there, and only the last answer is missing.
          range = length.zero? ? "bytes */#{size}" : "bytes #{offset}-#{offset + length - 1}/#{size}"
          response = put(Part.new(file, length), id, digest, range, length)
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
      http.max_retries = 0
      http.start { |connection| connection.request(request) }
    rescue SystemCallError, IOError, SocketError, Timeout::Error, OpenSSL::SSL::SSLError, Net::ProtocolError,
           Net::HTTPBadResponse, Net::HTTPHeaderSyntaxError => e
      raise Passing, "#{@base.host}: #{e.message}"
    end

    def path(id)
      "#{@base.path}/sl/recordings/#{id}.tar"
    end

    def token(id, digest)
      claims = { sub: id, exp: Time.now.to_i + 6 * 3600 }
      claims.update(sha256: digest, packed: @packed) if digest
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
    # A tree that changed so lately may still be being copied to where it is.
    STILL = 120

    def initialize(config, sender: config.sender, log: config.logger)
      @config = config
      @sender = sender
      @log = log
      @published = config['published_dir']
      @work = config['work_dir']
      FileUtils.mkdir_p(File.join(@work, 'sent'))
      FileUtils.mkdir_p(File.join(@work, 'locks'))
    rescue SystemCallError => e
      raise Error, e.message
    end

    # Record ids of all that are published here, oldest first.
    def all
      found = Dir.glob(File.join(@published, '*', '*', 'metadata.xml')).map { |file| File.basename(File.dirname(file)) }
      found.select { |id| RECORD_ID.match?(id) }.uniq.sort_by { |id| [id[/\d+\z/].to_i, id] }
    end

    # The formats that are published whole. `finished`: one that is known to be, whatever it looks like.
    def formats(id, finished: nil)
      names = Dir.glob(File.join(@published, '*', id, 'metadata.xml')).map { |file| file.split('/')[-3] }.sort
      names.select { |name| name == finished || whole?(id, name) }
    end

    # Whether all that is published of it now was sent as it is.
    def sent?(id)
      sent = File.read(mark(id)).split("\n")
      !sent.empty? && (versions(id, formats(id)) - sent).empty?
    rescue Errno::ENOENT
      false
    end

    # Whether the balancer says that it was deleted there.
    def deleted?(id)
      @sender.respond_to?(:deleted?) && @sender.deleted?(id)
    end

    # Sends all formats that are published by now: whatever came before is replaced as a whole, so it does
    # not matter how often, or in which order. False if there are none. `unless_sent`: not again if somebody
    # else has sent them meanwhile.
    def deliver(id, finished: nil, unless_sent: false, **options)
      raise Error, "this is no record id: #{id.inspect}" unless RECORD_ID.match?(id)

      # Two formats may be published at the same time.
      locked(id) { (unless_sent && sent?(id)) || deliver_locked(id, finished, options) }
    rescue SystemCallError, IOError => e
      raise Passing, e.message
    end

    # Ids that were sent as they are now so many days ago, and have arrived (`trust`: or may have).
    def prunable(days, trust: false)
      marks = Dir.glob(File.join(@work, 'sent', '*')).select { |file| File.mtime(file) < Time.now - days * 86_400 }
      marks.map { |file| File.basename(file) }.sort.select do |id|
        next false unless RECORD_ID.match?(id) && sent?(id)

        arrived = @sender.imported?(id)
        arrived || (arrived.nil? && trust)
      end
    end

    # Deletes what this server has of a recording, by whatever the block does. False if there is something
    # new of it.
    def prune(id)
      done = locked(id) do
        next false unless sent?(id)

        yield
        FileUtils.rm_f(mark(id))
        true
      end
      @log.info("sl: #{id} is deleted here; the balancer has it") if done
      done
    rescue SystemCallError, IOError => e
      raise Error, e.message
    end

    # For one process at a time. False if another one is at it.
    def alone
      File.open(File.join(@work, 'locks', 'batch'), File::CREAT | File::RDWR, 0o644) do |lock|
        return false unless lock.flock(File::LOCK_EX | File::LOCK_NB)

        yield
        true
      end
    end

    private

    # With the lock of a recording, which goes with the process. Its file goes when nobody needs it.
    def locked(id)
      path = File.join(@work, 'locks', id)
      loop do
        File.open(path, File::CREAT | File::RDWR, 0o644) do |lock|
          lock.flock(File::LOCK_EX)
          # Whoever had it before has taken the file away.
          next unless File.exist?(path) && File.stat(path).ino == lock.stat.ino

          begin
            return yield
          ensure
            FileUtils.rm_f(path)
          end
        end
      end
    end

    def deliver_locked(id, finished, options)
      # What was sent before is no longer all there is, until this has arrived.
      FileUtils.rm_f(mark(id))
      names = formats(id, finished: finished)
      if names.empty?
        @log.info("sl: #{id} has no published format, nothing to send")
        return false
      end
      archive = File.join(@work, "#{id}.tar")
      begin
        began = Time.now
        sent = versions(id, names)
        pack(archive, id, names)
        @sender.deliver(archive, id, **options)
        File.write(mark(id), sent.join("\n"))
        @log.info("sl: #{id} is sent: #{names.join(', ')}, #{File.size(archive)} bytes in #{(Time.now - began).round(1)} s")
      ensure
        FileUtils.rm_f(archive)
      end
      true
    end

    # What tells these formats from what they were before and may become.
    def versions(id, names)
      names.map { |name| "#{name} #{File.mtime(File.join(@published, name, id, 'metadata.xml')).to_r}" }
    end

    def pack(archive, id, names)
      paths = names.map { |name| File.join(name, id) }
      output, status = Open3.capture2e('tar', '--create', '--file', archive, '--directory', @published, '--', *paths)
      raise Passing, "tar: #{output.scrub.strip}" unless status.success?
    end

    # BigBlueButton says so of what it has published; where it says nothing, it has been still for a while.
    def whole?(id, name)
      status = @config['status_dir']
      return File.exist?(File.join(status, "#{id}-#{name}.done")) if File.directory?(status)

      directory = File.join(@published, name, id)
      newest = Dir.glob(File.join(directory, '**', '*')).push(directory).map { |path| File.lstat(path).ctime }.max
      newest < Time.now - STILL
    rescue SystemCallError
      false
    end

    def mark(id)
      File.join(@work, 'sent', id)
    end
  end
end
