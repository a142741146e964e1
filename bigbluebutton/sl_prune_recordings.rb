#!/usr/bin/env ruby
# frozen_string_literal: true

# Deletes recordings from this server that the balancer has had for some days, with `bbb-record --delete`.
# With url: those that it says it has. With spool_dir that cannot be known: --trust takes what was sent, and
# is not waiting in a mounted spool, for arrived.

require 'optparse'
require File.join(File.dirname(File.realpath(__FILE__)), 'sl_recordings')

options = { dry: false, trust: false }
OptionParser.new do |opts|
  opts.banner = 'Usage: sl_prune_recordings.rb [options]'
  opts.on('--days N', Float, 'Sent so many days ago (prune_after_days)') { |days| options[:days] = days }
  opts.on('--dry-run', 'Only say what would be deleted') { options[:dry] = true }
  opts.on('--trust', 'What was sent has arrived') { options[:trust] = true }
end.parse!

# As whoever runs this: bbb-record wants root.
delete = lambda do |config, id|
  output, status = Open3.capture2e(*Array(config['delete_command']), id)
  raise SlRecordings::Error, "#{Array(config['delete_command']).first}: #{output.scrub.strip}" unless status.success?
rescue SystemCallError => e
  raise SlRecordings::Error, e.message
end

failures = 0
begin
  config = SlRecordings::Config.load
  store = config.as_owner { SlRecordings::Store.new(config) }
  days = options[:days] || config.number('prune_after_days')
  store.prunable(days, trust: options[:trust]).each do |id|
    if options[:dry]
      puts "#{id} would be deleted"
    elsif store.prune(id) { delete.call(config, id) }
      puts "#{id} deleted"
    end
  rescue SlRecordings::Error => e
    failures += 1
    warn "#{id}: #{e.message}"
  end
rescue SlRecordings::Error, SystemCallError => e
  abort "sl_prune_recordings.rb: #{e.message}"
end
exit 1 if failures.positive?
