#!/usr/bin/env ruby
# frozen_string_literal: true

# Deletes recordings from this server that were sent to the balancer some days ago, with `bbb-record --delete`.
# With url, it deletes those that the balancer reports it has. With spool_dir this is unknown: --trust assumes that a
# recording has arrived if it was sent and is not waiting in a mounted spool.

require 'optparse'
require File.join(File.dirname(File.realpath(__FILE__)), 'sl_recordings')

options = { dry_run: false, trust: false }
OptionParser.new do |opts|
  opts.banner = 'Usage: sl_prune_recordings.rb [options]'
  opts.on('--days N', Float, 'Only recordings sent at least N days ago (default: prune_after_days)') { |days| options[:days] = days }
  opts.on('--dry-run', 'Only print what would be deleted') { options[:dry_run] = true }
  opts.on('--trust', 'Assume that recordings that were sent have arrived') { options[:trust] = true }
end.parse!

# Runs as the caller: bbb-record needs root. Everything else runs as the owner of the recordings, whose directories may
# hold links to files of others.
delete = lambda do |config, id|
  output, status = Open3.capture2e(*Array(config['delete_command']), id)
  raise SlRecordings::Error, "#{Array(config['delete_command']).first}: #{output.scrub.strip}" unless status.success?
rescue SystemCallError => e
  raise SlRecordings::Error, e.message
end

failures = 0
begin
  config = SlRecordings::Config.load
  days = options[:days] || config.number('prune_after_days')
  config.as_owner do
    store = SlRecordings::Store.new(config)
    store.prunable(days, trust: options[:trust]).each do |id|
      if options[:dry_run]
        puts "#{id} would be deleted"
      elsif store.prune(id) { config.as_root { delete.call(config, id) } }
        puts "#{id} deleted"
      end
    rescue SlRecordings::Error => e
      failures += 1
      warn "#{id}: #{e.message}"
    end
  end
rescue SlRecordings::Error, SystemCallError => e
  abort "sl_prune_recordings.rb: #{e.message}"
end
exit 1 if failures.positive?
