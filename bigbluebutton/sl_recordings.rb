# frozen_string_literal: true

# Shared code of the scripts in this directory: packs the published formats of a recording into an archive and
# delivers it to the balancer. Runs on a BigBlueButton server and needs only Ruby's standard library, tar, and
# rsync if configured.

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
  # A wrong setting or a permanent failure; the message is one line.
  class Error < StandardError; end

  # A failure that may succeed on retry.
  class TransientError < Error; end

  RECORD_ID = /\A[A-Za-z0-9_-]{1,128}\z/.freeze

  # The settings, documented in sl.yml.
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
      'url' => nil, 'allow_http' => false, 'secret' => nil, 'ca_file' => nil, 'chunk_size' => 0,
      'attempts' => 10, 'wait' => 5,
      'spool_dir' => nil, 'extra_rsync_opts' => [],
      'published_dir' => '/var/bigbluebutton/published',
      'status_dir' => '/var/bigbluebutton/recording/status/published',
      'work_dir' => '/var/bigbluebutton/recording/sl',
      'log_file' => '/var/log/bigbluebutton/post_publish.log',
      'prune_after_days' => 14, 'delete_command' => ['bbb-record', '--delete']
    }.freeze

    def self.load(path = ENV['SL_RECORDINGS_CONFIG'])
      path ||= PATHS.find { |candidate| File.exist?(candidate) }
      raise Error, "no settings file found: #{PATHS.join(', ')}" unless path

      values = YAML.safe_load(File.read(path, encoding: 'UTF-8')) || {}
      raise Error, "#{path} must be a list of settings of the form name: value" unless values.is_a?(Hash)

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

      raise Error, "#{path} must set either url or spool_dir, and not both"
    end

    def [](name)
      @values.fetch(name)
    end

    def number(name)
      value = self[name]
      return value if value.is_a?(Numeric) && !value.negative?

      raise Error, "#{@path}: #{name} must be a number, 0 or more"
    end

    # The secret that the balancer has for this server.
    def secret
      return self['secret'] if self['secret']

      # Binary: welcome texts may contain non-ASCII characters, and cron sets no locale.
      lines = BBB_WEB.select { |file| File.readable?(file) }.flat_map { |file| File.binread(file).lines }
      salt = lines.map { |line| line[/\A\s*securitySalt\s*=\s*(\S+)/, 1] }.compact.first
      salt || raise(Error, "#{@path} sets no secret, and #{BBB_WEB.join(', ')} contain none")
    end

    def sender
      return Upload.new(self) if self['url']
      return Rsync.new(self) if self['spool_dir'].include?(':')

      Directory.new(self)
    end

    # Switches from root to the user who owns the recordings, for good: BigBlueButton runs these scripts as that
    # user, and files owned by root would be in its way.
    def become_owner
      owner = recordings_owner
      return unless owner

      Process.initgroups(Etc.getpwuid(owner.uid).name, owner.gid)
      Process::GID.change_privilege(owner.gid)
      Process::UID.change_privilege(owner.uid)
    rescue SystemCallError, ArgumentError => e
      raise Error, e.message
    end

    # The same for the duration of the block.
    def as_owner
      owner = recordings_owner
      return yield unless owner

      groups = Process.groups
      begin
        Process.initgroups(Etc.getpwuid(owner.uid).name, owner.gid)
        Process::GID.eid = owner.gid
        Process::UID.eid = owner.uid
        @owner = owner
        yield
      ensure
        @owner = nil
        Process::UID.eid = 0
        Process::GID.eid = 0
        Process.groups = groups
      end
    rescue SystemCallError, ArgumentError => e
      raise Error, e.message
    end

    # Inside as_owner: runs the block as root, if the script does.
    def as_root
      owner = @owner
      return yield unless owner

      begin
        Process::UID.eid = 0
        Process::GID.eid = 0
        yield
      ensure
        Process::GID.eid = owner.gid
        Process::UID.eid = owner.uid
      end
    end

    # Nil if there is nothing to switch: the script does not run as root, or root owns the recordings.
    def recordings_owner
      return unless Process.euid.zero?

      exists = File.directory?(self['work_dir'])
      path = exists ? self['work_dir'] : self['published_dir']
      # A link that is not root's leads where its owner wants: it does not make this a directory of root.
      owner = [File.lstat(path), File.stat(path)].find { |stat| !stat.uid.zero? }
      return unless owner

      create_work_dir(owner) unless exists
      owner
    end

    # lchown: the owner may put a link in the place of the new directory.
    def create_work_dir(owner)
      FileUtils.mkdir_p(self['work_dir'])
      File.lchown(owner.uid, owner.gid, self['work_dir'])
    end
    private :create_work_dir
    private :recordings_owner

    def logger
      target = self['log_file']
      Logger.new(target == '-' ? $stdout : target)
    rescue SystemCallError
      Logger.new($stderr)
    end
  end

  # Copies archives into a mounted spool directory.
  class Directory
    def initialize(config)
      @spool = config['spool_dir']
    end

    # The archive becomes visible only when it is complete.
    def deliver(archive, id, **)
      raise TransientError, "#{@spool} is not a directory: is it mounted?" unless File.directory?(@spool)

      # Importers delete old *.sl-part files, so an interrupted copy is cleaned up like an interrupted upload.
      hidden = File.join(@spool, ".#{id}.copy.sl-part")
      begin
        # Keep the modification time: a recording that was deleted after it was packed stays deleted.
        FileUtils.cp(archive, hidden, preserve: true)
        File.open(hidden, 'r+', &:fsync)
        File.rename(hidden, File.join(@spool, "#{id}.tar"))
      ensure
        FileUtils.rm_f(hidden)
      end
    rescue SystemCallError => e
      raise TransientError, e.message
    end

    # False, or nil for unknown: an archive that is gone from the spool may have been imported or removed by hand, and
    # if the spool is not mounted, all archives seem to be gone.
    def imported?(id)
      return false unless Dir.glob(File.join(@spool, '{,failed/}{,[0-9]*.,.sl-done.}') + "#{id}.tar").empty?

      nil
    end
  end

  # Sends archives with rsync, which also writes to a hidden name first.
  class Rsync
    def initialize(config)
      @target = config['spool_dir']
      @options = Array(config['extra_rsync_opts'])
    end

    def deliver(archive, id, **)
      command = ['rsync', '--times', '--partial-dir=.rsync-partial', '--chmod=F0664', *@options, '--',
                 archive, "#{@target.chomp('/')}/#{id}.tar"]
      output, status = Open3.capture2e(*command)
      raise TransientError, "rsync: #{output.scrub.strip}" unless status.success?
    rescue Errno::ENOENT
      raise Error, 'rsync is not installed'
    end

    def imported?(_id)
      nil
    end
  end

  # Uploads archives over HTTPS, to PUT /sl/recordings/ID.tar; resumes interrupted uploads.
  class Upload
    # Responses after which a retry is pointless.
    PERMANENT_STATUSES = %w[400 401 403 404 413].freeze

    def initialize(config)
      @base = URI.parse(config['url'].chomp('/'))
      raise Error, "url must have the form https://host, not: #{@base}" unless @base.is_a?(URI::HTTP) && @base.host

      unless @base.scheme == 'https' || config['allow_http'] == true
        raise Error, 'url must begin with https://, or allow_http must be true: over http, the recordings can be read on the way'
      end

      @secret = config.secret
      @ca_file = config['ca_file']
      @chunk_size = config.number('chunk_size').to_i
      @attempts = [config.number('attempts').to_i, 1].max
      @wait = config.number('wait')
    rescue URI::InvalidURIError
      raise Error, 'url must have the form https://host'
    end

    def deliver(archive, id, attempts: @attempts)
      digest = Digest::SHA256.file(archive).hexdigest
      @packed = File.mtime(archive).to_i
      failures = 0
      begin
        state = fetch_state(id, digest)
        # The upload was complete, only its last response was lost.
        return if failures.positive? && state['upload-complete'] == 'yes'

        upload_from(state['upload-offset'].to_i, archive, id, digest)
      rescue TransientError
        failures += 1
        raise if failures >= attempts

        sleep(@wait * (2**[failures - 1, 6].min))
        retry
      end
    end

    def imported?(id)
      %w[published unpublished deleted].include?(fetch_state(id)['recording-state'])
    end

    def deleted?(id)
      fetch_state(id)['recording-state'] == 'deleted'
    end

    private

    # The balancer's response to HEAD: state of the recording, and with a digest the progress of its upload.
    def fetch_state(id, digest = nil)
      response = request(Net::HTTP::Head.new(path(id)), id, digest)
      check(response) { |code| code == '200' }
      response
    end

    def upload_from(offset, archive, id, digest)
      size = File.size(archive)
      until offset.nil?
        # The offset cannot be of this file: start over.
        offset = 0 if offset > size
        File.open(archive, 'rb') do |file|
          file.seek(offset)
          length = @chunk_size.positive? ? [@chunk_size, size - offset].min : size - offset
          # Zero: the balancer has every byte, only its last response is missing.
          range = length.zero? ? "bytes */#{size}" : "bytes #{offset}-#{offset + length - 1}/#{size}"
          response = put(FilePart.new(file, length), id, digest, range, length)
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

      reason = begin
        JSON.parse(response.body.to_s)['error']
      rescue JSON::ParserError
        nil
      end
      message = ["#{@base.host} answered #{response.code}", reason].compact.join(': ')
      raise (PERMANENT_STATUSES.include?(response.code) ? Error : TransientError), message
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
      # The balancer syncs the whole archive to disk before it answers.
      http.read_timeout = 600
      http.write_timeout = 60
      http.max_retries = 0
      http.start { |connection| connection.request(request) }
    rescue SystemCallError, IOError, SocketError, Timeout::Error, OpenSSL::SSL::SSLError, Net::ProtocolError,
           Net::HTTPBadResponse, Net::HTTPHeaderSyntaxError => e
      raise TransientError, "#{@base.host}: #{e.message}"
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

    # The next `length` bytes of a file, with the methods by which Net::HTTP reads a body.
    class FilePart
      def initialize(file, length)
        @file = file
        @remaining = length
      end

      def read(length = nil, buffer = nil)
        length = [length || @remaining, @remaining].min
        return length.zero? ? nil : '' if @remaining.zero?

        data = @file.read(length, *buffer)
        raise IOError, 'the archive was truncated while it was sent' if data.nil?

        @remaining -= data.bytesize
        data
      end

      def readpartial(length, buffer = nil)
        read(length, buffer) || raise(EOFError)
      end
    end
  end

  # The recordings of this server.
  class Store
    LOCK_MODE = File::CREAT | File::RDWR | File::NOFOLLOW

    # A format that changed more recently than this may still be being copied into place.
    QUIET_SECONDS = 120

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

    # Record ids of all recordings published here, oldest first.
    def record_ids
      found = Dir.glob(File.join(@published, '*', '*', 'metadata.xml')).map { |file| File.basename(File.dirname(file)) }
      found.select { |id| RECORD_ID.match?(id) }.uniq.sort_by { |id| [id[/\d+\z/].to_i, id] }
    end

    # The completely published formats. `finished`: a format that is known to be complete, whatever its files look like.
    def formats(id, finished: nil)
      names = Dir.glob(File.join(@published, '*', id, 'metadata.xml')).map { |file| file.split('/')[-3] }.sort
      names.select { |name| name == finished || complete?(id, name) }
    end

    # Whether all published formats were sent in their present version.
    def sent?(id)
      sent = File.read(sent_marker(id)).split("\n")
      !sent.empty? && (versions(id, formats(id)) - sent).empty?
    rescue Errno::ENOENT
      false
    end

    # Whether the balancer reports the recording as deleted.
    def deleted?(id)
      @sender.respond_to?(:deleted?) && @sender.deleted?(id)
    end

    # Sends all formats published so far. The balancer replaces each of them completely, so neither repeats nor the
    # order matter. False if there are none. `skip_if_sent`: do nothing if another process has sent them meanwhile.
    def deliver(id, finished: nil, skip_if_sent: false, **options)
      raise Error, "not a valid record id: #{id.inspect}" unless RECORD_ID.match?(id)

      # Two formats may be published at the same time.
      with_recording_lock(id) { (skip_if_sent && sent?(id)) || deliver_locked(id, finished, options) }
    rescue SystemCallError, IOError => e
      raise TransientError, e.message
    end

    # Ids of recordings that were sent in their present version at least `days` days ago and that the balancer has
    # imported (`trust`: or for which that is unknown).
    def prunable(days, trust: false)
      markers = Dir.glob(File.join(@work, 'sent', '*')).select { |file| File.mtime(file) < Time.now - days * 86_400 }
      markers.map { |file| File.basename(file) }.sort.select do |id|
        next false unless RECORD_ID.match?(id) && sent?(id)

        imported = @sender.imported?(id)
        imported || (imported.nil? && trust)
      end
    end

    # Deletes this server's copy of a recording by calling the block. False if part of the recording has changed since
    # it was sent.
    def prune(id)
      deleted = with_recording_lock(id) do
        next false unless sent?(id)

        yield
        FileUtils.rm_f(sent_marker(id))
        true
      end
      @log.info("sl: #{id} deleted from this server; the balancer has it") if deleted
      deleted
    rescue SystemCallError, IOError => e
      raise Error, e.message
    end

    # Runs the block in one process at a time. False if another process is running it.
    def with_batch_lock
      File.open(File.join(@work, 'locks', 'batch'), LOCK_MODE, 0o644) do |lock|
        return false unless lock.flock(File::LOCK_EX | File::LOCK_NB)

        yield
        true
      end
    end

    private

    # Runs the block with the lock of a recording, which is released if the process dies. The lock file is deleted after
    # use.
    def with_recording_lock(id)
      path = File.join(@work, 'locks', id)
      loop do
        File.open(path, LOCK_MODE, 0o644) do |lock|
          lock.flock(File::LOCK_EX)
          # If the previous holder has deleted the file, this lock is on a file that no longer exists: try again.
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
      # Until this delivery succeeds, the recording counts as not sent.
      FileUtils.rm_f(sent_marker(id))
      names = formats(id, finished: finished)
      if names.empty?
        @log.info("sl: #{id} has no published format, nothing to send")
        return false
      end
      archive = File.join(@work, "#{id}.tar")
      begin
        started = Time.now
        sent = versions(id, names)
        pack(archive, id, names)
        @sender.deliver(archive, id, **options)
        File.write(sent_marker(id), sent.join("\n"))
        seconds = (Time.now - started).round(1)
        @log.info("sl: #{id} sent: #{names.join(', ')}, #{File.size(archive)} bytes in #{seconds} s")
      ensure
        FileUtils.rm_f(archive)
      end
      true
    end

    # One line per format that changes whenever the format is reprocessed.
    def versions(id, names)
      names.map { |name| "#{name} #{File.mtime(File.join(@published, name, id, 'metadata.xml')).to_r}" }
    end

    def pack(archive, id, names)
      paths = names.map { |name| File.join(name, id) }
      output, status = Open3.capture2e('tar', '--create', '--file', archive, '--directory', @published, '--', *paths)
      raise TransientError, "tar: #{output.scrub.strip}" unless status.success?
    end

    # BigBlueButton writes a .done file for each format it has published. Where it keeps none, a format counts as complete
    # once it has not changed for a while.
    def complete?(id, name)
      status = @config['status_dir']
      return File.exist?(File.join(status, "#{id}-#{name}.done")) if File.directory?(status)

      directory = File.join(@published, name, id)
      newest = Dir.glob(File.join(directory, '**', '*')).push(directory).map { |path| File.lstat(path).ctime }.max
      newest < Time.now - QUIET_SECONDS
    rescue SystemCallError
      false
    end

    # The file that records which versions of the formats were sent.
    def sent_marker(id)
      File.join(@work, 'sent', id)
    end
  end
end
